//! The exchange the current hook is about: reads that were not subscribed, and header changes.
//!
//! Outside a hook every read answers `None` and every change is ignored.

use std::time::Duration;

use crate::host;
use crate::policy::{Field, Header, nanoseconds};

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
    host::exchange::request_field(field)
}

/// Whether the request has a body that [`on_request_body`](crate::policy::Policy::on_request_body) would be called for.
///
/// ```
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// assert!(!exchange::has_body());
/// host.set_has_body(true);
/// assert!(exchange::has_body());
/// ```
#[must_use]
pub fn has_body() -> bool {
    host::exchange::has_body()
}

/// Replaces every value of that request header.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// exchange::set_request_header("X-Tenant", "gold").unwrap();
/// assert_eq!(host.request(&Field::Header("x-tenant".into())).as_deref(), Some("gold"));
/// assert!(exchange::set_request_header("Connection", "close").is_err());
/// ```
///
/// # Errors
/// Framing headers, pseudo-headers, and what is not valid HTTP are refused.
pub fn set_request_header(name: &str, value: &str) -> Result<(), String> {
    host::exchange::set_request_header(name, value)
}

/// Every header of the request, each value by itself, without those the plugin may not read.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_request(Field::Header("X-Tag".into()), "a");
/// assert_eq!(exchange::request_headers().len(), 1);
/// ```
#[must_use]
pub fn request_headers() -> Vec<Header> {
    host::exchange::request_headers()
}

/// Each value of a request header by itself.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_request(Field::Header("x-tag".into()), "a");
/// exchange::add_request_header("X-Tag", "b").unwrap();
/// assert_eq!(exchange::request_header_values("x-tag"), ["a", "b"]);
/// ```
#[must_use]
pub fn request_header_values(name: &str) -> Vec<String> {
    host::exchange::request_header_values(name)
}

/// The values of a header of the response at hand, joined by `, `; `None` before there is a response.
#[must_use]
pub fn response_header(name: &str) -> Option<String> {
    host::exchange::response_header(name)
}

/// Adds a value to a request header.
///
/// # Errors
/// Framing headers, pseudo-headers, and what is not valid HTTP are refused.
pub fn add_request_header(name: &str, value: &str) -> Result<(), String> {
    host::exchange::add_request_header(name, value)
}

/// Takes every value of that request header away.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_request(Field::Header("x-debug".into()), "1");
/// exchange::remove_request_header("X-Debug").unwrap();
/// assert_eq!(host.request(&Field::Header("x-debug".into())), None);
/// ```
///
/// # Errors
/// Framing headers and pseudo-headers are refused.
pub fn remove_request_header(name: &str) -> Result<(), String> {
    host::exchange::remove_request_header(name)
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
    host::exchange::set_response_header(name, value)
}

/// Takes every value of that header out of the response the client will get.
///
/// ```
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_response_header("server", "tomcat");
/// exchange::remove_response_header("Server").unwrap();
/// assert_eq!(host.response_header("server"), None);
/// ```
///
/// # Errors
/// Framing headers and pseudo-headers are refused.
pub fn remove_response_header(name: &str) -> Result<(), String> {
    host::exchange::remove_response_header(name)
}

/// Adds a value to a header of the response the client will get.
///
/// ```
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_response_header("vary", "accept");
/// exchange::add_response_header("Vary", "x-tenant").unwrap();
/// assert_eq!(host.response_header("vary").as_deref(), Some("accept, x-tenant"));
/// ```
///
/// # Errors
/// Framing headers, pseudo-headers, and what is not valid HTTP are refused.
pub fn add_response_header(name: &str, value: &str) -> Result<(), String> {
    host::exchange::add_response_header(name, value)
}

/// Replaces the path of the request. The route stays the one that was found.
///
/// ```
/// use sluice_plugin_sdk::policy::{Field, exchange};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// exchange::set_path("/v2/cart").unwrap();
/// exchange::set_query(Some("full=1")).unwrap();
/// assert_eq!(host.request(&Field::Path).as_deref(), Some("/v2/cart"));
/// assert_eq!(host.request(&Field::QueryParam("full".into())).as_deref(), Some("1"));
/// ```
///
/// # Errors
/// It is not a path, or climbs out of its root.
pub fn set_path(path: &str) -> Result<(), String> {
    host::exchange::set_path(path)
}

/// Replaces the query, without `?`; `None` takes it away.
///
/// # Errors
/// It is not a query.
pub fn set_query(query: Option<&str>) -> Result<(), String> {
    host::exchange::set_query(query)
}

/// Adds `key=value` to the exchange's line in the access log: at most 8 of 256 bytes each.
///
/// ```
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// exchange::annotate("breaker", "open");
/// assert_eq!(host.annotations(), [("breaker".to_owned(), "open".to_owned())]);
/// ```
pub fn annotate(key: &str, value: &str) {
    host::exchange::annotate(key, value);
}

/// Leaves the instance that answered, or failed to, out of its service's turn for that long. `false` where there is none,
/// or where that would leave out more instances than the service allows.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::exchange;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// assert!(exchange::eject_instance(Duration::from_secs(30)));
/// host.allow_ejection(false);
/// assert!(!exchange::eject_instance(Duration::from_secs(30)));
/// ```
pub fn eject_instance(duration: Duration) -> bool {
    host::exchange::eject_instance(nanoseconds(duration))
}
