//! Constraints of providers in both languages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| traefik_tags::fuzz::constraints(text));
