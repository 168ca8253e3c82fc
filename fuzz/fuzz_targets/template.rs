//! Templates of default rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| traefik_tags::fuzz::template(text));
