//! Limits over time.

use std::time::Duration;

use super::{Key, nanoseconds, wit};
use crate::host;

pub use wit::{BucketKind, BucketSpec};

/// A set of token buckets, one for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(wit::Bucket);

/// What asking a bucket for tokens gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The tokens are taken.
    Granted {
        /// How long to wait before going on; zero for at once.
        wait: Duration,
        /// Whole tokens left for the key.
        remaining: u64,
    },
    /// Nothing was taken.
    Refused {
        /// How long until it could be granted at once.
        retry_in: Duration,
        /// Whole tokens left for the key.
        remaining: u64,
    },
}

impl BucketSpec {
    /// At most `burst` tokens, of which `average` come each `period`.
    #[must_use]
    pub fn token_bucket(average: u64, period: Duration, burst: u64) -> Self {
        Self { kind: BucketKind::TokenBucket, average, period_ns: nanoseconds(period), burst }
    }

    /// `average` each `period`, evenly spaced, `burst` at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = BucketSpec::gcra(10, Duration::from_secs(1), 3);
    /// let bucket = Bucket::open("rate", spec).unwrap();
    /// let asked = bucket.reserve("10.0.0.1", 2, Duration::ZERO);
    /// assert_eq!(asked, Reservation::Granted { wait: Duration::ZERO, remaining: 1 });
    /// ```
    #[must_use]
    pub fn gcra(average: u64, period: Duration, burst: u64) -> Self {
        Self { kind: BucketKind::Gcra, ..Self::token_bucket(average, period, burst) }
    }

    /// `limit` in any span of `period`, estimated from this period and the one before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = BucketSpec::sliding_window(3, Duration::from_secs(60));
    /// let bucket = Bucket::open("rate", spec).unwrap();
    /// let asked = bucket.reserve("10.0.0.1", 2, Duration::ZERO);
    /// assert_eq!(asked, Reservation::Granted { wait: Duration::ZERO, remaining: 1 });
    /// ```
    #[must_use]
    pub fn sliding_window(limit: u64, period: Duration) -> Self {
        Self { kind: BucketKind::SlidingWindow, ..Self::token_bucket(limit, period, limit) }
    }

    /// `limit` in each unit of the UTC calendar: whole minutes, hours or days.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = BucketSpec::calendar(3, Duration::from_secs(3600));
    /// let bucket = Bucket::open("quota", spec).unwrap();
    /// let asked = bucket.reserve("10.0.0.1", 2, Duration::ZERO);
    /// assert_eq!(asked, Reservation::Granted { wait: Duration::ZERO, remaining: 1 });
    /// ```
    #[must_use]
    pub fn calendar(limit: u64, period: Duration) -> Self {
        Self { kind: BucketKind::Calendar, ..Self::token_bucket(limit, period, limit) }
    }
}

impl Bucket {
    /// Opens the set of that name. What an earlier version of the plugin, or the same with other limits, left in it is
    /// still there. Works only while a policy is [configured](crate::policy::Policy::configure).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = BucketSpec::token_bucket(10, Duration::from_secs(1), 1);
    /// let bucket = Bucket::open("rate", spec).unwrap();
    ///
    /// let first = bucket.reserve("10.0.0.1", 1, Duration::ZERO);
    /// assert_eq!(first, Reservation::Granted { wait: Duration::ZERO, remaining: 0 });
    /// let second = bucket.reserve("10.0.0.1", 1, Duration::ZERO);
    /// assert_eq!(second, Reservation::Refused { retry_in: Duration::from_millis(100), remaining: 0 });
    /// host.advance(Duration::from_millis(100));
    /// assert!(matches!(bucket.reserve("10.0.0.1", 1, Duration::ZERO), Reservation::Granted { .. }));
    /// ```
    ///
    /// # Errors
    /// Limits of zero are refused, and more sets than the host keeps for a policy.
    pub fn open(name: &str, spec: BucketSpec) -> Result<Self, String> {
        host::state::open_bucket(name, spec).map(Self)
    }

    /// Takes `cost` tokens from the key's bucket, if need be tokens that will exist within `max_wait`. A cost of 0 only
    /// looks.
    #[must_use]
    pub fn reserve<'a>(self, key: impl Into<Key<'a>>, cost: u32, max_wait: Duration) -> Reservation {
        let max_wait_ns = nanoseconds(max_wait);
        let wit::Reservation { granted, wait_ns, remaining } = match key.into() {
            Key::Text(key) => host::state::reserve(self.0, key, cost, max_wait_ns),
            Key::Field(place) => host::state::reserve_by(self.0, place, cost, max_wait_ns),
        };
        let time = Duration::from_nanos(wait_ns);
        if granted {
            Reservation::Granted { wait: time, remaining }
        } else {
            Reservation::Refused { retry_in: time, remaining }
        }
    }

    /// Gives back what a granted reservation took.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let bucket = Bucket::open("rate", BucketSpec::token_bucket(1, Duration::from_secs(60), 1)).unwrap();
    /// assert!(matches!(bucket.reserve("10.0.0.1", 1, Duration::ZERO), Reservation::Granted { .. }));
    /// bucket.refund("10.0.0.1", 1);
    /// assert!(matches!(bucket.reserve("10.0.0.1", 1, Duration::ZERO), Reservation::Granted { .. }));
    /// ```
    pub fn refund(self, key: &str, cost: u32) {
        host::state::refund(self.0, key, cost);
    }
}
