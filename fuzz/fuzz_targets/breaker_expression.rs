//! Expressions of circuit breakers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| sluice_policy_kit::fuzz::breaker_expression(text));
