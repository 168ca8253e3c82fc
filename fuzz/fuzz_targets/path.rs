//! Paths: a normal one says the same when it is read again, and never leads out of where it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::path::NormalPath;

fuzz_target!(|text: &str| {
    let Ok(path) = NormalPath::parse(text) else { return };
    assert!(!path.as_str().split('/').any(|segment| segment == "." || segment == ".."));
    assert!(NormalPath::parse(path.as_str()).is_ok_and(|again| again.as_str() == path.as_str()));
});
