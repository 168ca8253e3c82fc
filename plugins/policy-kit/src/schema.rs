//! Schemas of settings that are committed beside them: made once by a test, so that no plugin carries what makes them.

use schemars::JsonSchema;

/// Compares a committed schema with the one of these settings, or writes it where `UPDATE_SCHEMAS` is set. For tests.
///
/// # Panics
/// They differ.
#[expect(clippy::panic, reason = "it is a test's")]
pub fn assert_committed<T: JsonSchema>(path: &str, committed: &str) {
    let schema = schemars::schema_for!(T);
    let Ok(text) = serde_json::to_string_pretty(&schema) else { panic!("the schema is no JSON") };
    let text = format!("{text}\n");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        if let Err(error) = std::fs::write(path, &text) {
            panic!("write {path}: {error}");
        }
    } else if text != committed {
        panic!("{path} is not the schema of these settings; run the test again with UPDATE_SCHEMAS=1");
    }
}
