//! Expressions of circuit breakers: read or refused, and read alike each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy_kit::expression::Expression;

fuzz_target!(|text: &str| {
    if let Ok((expression, notes)) = Expression::parse(text) {
        let again = Expression::parse(text).expect("it was read before");
        assert_eq!((expression.needs_latency(), notes), (again.0.needs_latency(), again.1));
    }
});
