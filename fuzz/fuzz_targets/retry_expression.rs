//! Expressions of buffering's retries: read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::retry::RetryExpression;

fuzz_target!(|text: &str| {
    drop(RetryExpression::parse(text));
});
