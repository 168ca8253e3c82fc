//! Rules of TCP routers in both syntaxes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| traefik_tags::fuzz::tcp_rule(text));
