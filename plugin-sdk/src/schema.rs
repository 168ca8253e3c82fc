//! Settings as a JSON schema.

use schemars::JsonSchema;

/// The schema of a type of settings, as [`Policy::schema`](crate::policy::Policy::schema) gives it.
///
/// ```
/// use sluice_plugin_sdk::schemars::{self, JsonSchema};
///
/// /// What an operator can set.
/// #[derive(JsonSchema)]
/// struct Settings {
///     /// Requests each second.
///     average: u64,
/// }
///
/// let schema: serde_json::Value = serde_json::from_str(&sluice_plugin_sdk::schema::<Settings>()).unwrap();
/// assert_eq!(schema["properties"]["average"]["description"], "Requests each second.");
/// assert_eq!(schema["required"][0], "average");
/// ```
#[must_use]
pub fn schema<T: JsonSchema>() -> String {
    let schema = schemars::schema_for!(T);
    serde_json::to_string(&schema).unwrap_or_default()
}
