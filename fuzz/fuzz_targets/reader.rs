//! Bytes of clients, as the strict reader sees them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sluice_gateway::http::fuzz::reader(bytes));
