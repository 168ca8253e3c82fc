//! Rules of v3's routers in v2's syntax.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| traefik_tags::fuzz::v2_rule(text));
