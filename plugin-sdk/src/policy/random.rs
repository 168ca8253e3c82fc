//! Chance. Unpredictable to clients; not for keys.

use crate::host;

/// Any number.
///
/// ```
/// use sluice_plugin_sdk::policy::random;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.next_random(7);
/// assert_eq!(random::u64(), 7);
/// ```
#[must_use]
pub fn u64() -> u64 {
    host::random::random_u64()
}

/// A number from 0 up to and not including 1.
///
/// ```
/// use sluice_plugin_sdk::policy::random;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.next_random(u64::MAX / 2);
/// assert!(random::unit() < 0.5);
/// assert!((0.0..1.0).contains(&random::unit()));
/// ```
#[must_use]
pub fn unit() -> f64 {
    // As many bits as an f64 holds exactly.
    (self::u64() >> 11) as f64 / (1_u64 << 53) as f64
}
