//! Bytes under keys.

use std::time::Duration;

use super::nanoseconds;
use crate::host;

/// The policy's bytes: 1 MiB unless the operator says otherwise. When room is needed the least used go first.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::state::Kv;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// Kv::set("page", b"hello", Some(Duration::from_secs(60))).unwrap();
/// assert_eq!(Kv::get("page").as_deref(), Some(&b"hello"[..]));
/// host.advance(Duration::from_secs(60));
/// assert_eq!(Kv::get("page"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kv;

impl Kv {
    /// What is kept under a key.
    #[must_use]
    pub fn get(key: &str) -> Option<Vec<u8>> {
        host::state::kv_get(key)
    }

    /// Keeps bytes, for that long where a time is given.
    ///
    /// # Errors
    /// They alone are more than the policy may keep.
    pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), String> {
        // A time of 0 would be none at all.
        host::state::kv_set(key, value, ttl.map_or(0, |ttl| nanoseconds(ttl).max(1)))
    }

    /// Forgets a key.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::state::Kv;
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// Kv::set("page", b"hello", None).unwrap();
    /// Kv::delete("page");
    /// assert_eq!(Kv::get("page"), None);
    /// ```
    pub fn delete(key: &str) {
        host::state::kv_delete(key);
    }
}
