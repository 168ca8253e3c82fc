//! Time.

use std::time::Duration;

use super::at_hand;
use crate::host;

/// Time since some moment, the same for all workers. Never less than before; it may stand still while a hook is called.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::clock;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let before = clock::now();
/// host.advance(Duration::from_secs(3));
/// assert_eq!(clock::now() - before, Duration::from_secs(3));
/// ```
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(now_ns())
}

/// The same as a number of nanoseconds, as a [`Cell`](crate::policy::state::Cell) keeps it.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::clock;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let before = clock::now_ns();
/// host.advance(Duration::from_micros(1));
/// assert_eq!(clock::now_ns() - before, 1_000);
/// ```
#[must_use]
pub fn now_ns() -> u64 {
    at_hand::now_ns()
}

/// Time since 1970, UTC, in milliseconds.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::clock;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let before = clock::wall_ms();
/// host.advance(Duration::from_secs(60));
/// assert_eq!(clock::wall_ms() - before, 60_000);
/// ```
#[must_use]
pub fn wall_ms() -> u64 {
    host::clock::wall_ms()
}
