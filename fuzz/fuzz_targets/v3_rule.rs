//! Rules of v3's routers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| traefik_tags::fuzz::v3_rule(text));
