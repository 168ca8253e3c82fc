//! The exchange the current hook is about: reads that were not subscribed, and header changes.
//!
//! Outside a hook every read answers `None` and every change is ignored.

use crate::host;
use crate::policy::Field;

/// A value of the request that the subscription does not name. Named ones cost less.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_request(Field::Path, "/cart");
/// assert_eq!(exchange::request_field(&Field::Path).as_deref(), Some("/cart"));
/// ```
#[must_use]
pub fn request_field(field: &Field) -> Option<String> {
    host::request_field(field)
}

/// Replaces every value of that request header.
///
/// # Errors
/// Framing headers, pseudo-headers, and what is not valid HTTP are refused.
pub fn set_request_header(name: &str, value: &str) -> Result<(), String> {
    host::set_request_header(name, value)
}

/// Takes every value of that request header away.
///
/// # Errors
/// Framing headers and pseudo-headers are refused.
pub fn remove_request_header(name: &str) -> Result<(), String> {
    host::remove_request_header(name)
}

/// Replaces every value of that header in the response the client will get.
///
/// ```
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// exchange::set_response_header("X-Tier", "gold").unwrap();
/// assert_eq!(host.response_header("x-tier").as_deref(), Some("gold"));
/// assert!(exchange::set_response_header("Content-Length", "1").is_err());
/// ```
///
/// # Errors
/// Framing headers, pseudo-headers, and what is not valid HTTP are refused.
pub fn set_response_header(name: &str, value: &str) -> Result<(), String> {
    host::set_response_header(name, value)
}

/// Takes every value of that header out of the response the client will get.
///
/// # Errors
/// Framing headers and pseudo-headers are refused.
pub fn remove_response_header(name: &str) -> Result<(), String> {
    host::remove_response_header(name)
}
