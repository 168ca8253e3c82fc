//! Bytes of clients, as instances get them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sluice_gateway::upstream::fuzz::request(bytes));
