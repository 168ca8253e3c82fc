//! Settings arrive as JSON text; this makes a value of them, or a text the operator can act on.

use serde::de::DeserializeOwned;

/// Reads settings as a router gets them. Policies get theirs parsed already.
///
/// No settings at all are the same as none given: `{}`.
///
/// # Errors
/// What is wrong, in words for the operator.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     prefix: String,
/// }
///
/// let settings: Settings = sluice_plugin_sdk::parse_settings(r#"{"prefix": "traefik"}"#).unwrap();
/// assert_eq!(settings.prefix, "traefik");
///
/// let error = sluice_plugin_sdk::parse_settings::<Settings>(r#"{"prefx": "traefik"}"#).unwrap_err();
/// assert_eq!(error, "invalid settings: unknown field `prefx`, expected `prefix`");
/// ```
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|error| describe(&error))
}

/// The gateway wrote the JSON, from a file or from tags, so a place within it says nothing to its reader.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("invalid settings: {}", text.strip_suffix(&place).unwrap_or(&text))
}
