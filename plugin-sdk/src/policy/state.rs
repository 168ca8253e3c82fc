//! State the host keeps: one truth for all workers, and it outlives plugin versions, routes and generations.

use std::time::Duration;

use crate::bindings::policy::sluice::gateway::state as wit;
use crate::host;

pub use wit::BucketSpec;

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

impl Bucket {
    /// Opens the set of that name. What an earlier version of the plugin, or the same with other limits, left in it is
    /// still there. Works only while a policy is [configured](crate::policy::Policy::configure).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = BucketSpec { average: 10, period_ns: 1_000_000_000, burst: 1 };
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
        host::open_bucket(name, spec).map(Self)
    }

    /// Takes `cost` tokens from the key's bucket, if need be tokens that will exist within `max_wait`.
    #[must_use]
    pub fn reserve(self, key: &str, cost: u32, max_wait: Duration) -> Reservation {
        let max_wait_ns = u64::try_from(max_wait.as_nanos()).unwrap_or(u64::MAX);
        let wit::Reservation { granted, wait_ns, remaining } = host::reserve(self.0, key, cost, max_wait_ns);
        let time = Duration::from_nanos(wait_ns);
        if granted {
            Reservation::Granted { wait: time, remaining }
        } else {
            Reservation::Refused { retry_in: time, remaining }
        }
    }

    /// Gives back what a granted reservation took.
    pub fn refund(self, key: &str, cost: u32) {
        host::refund(self.0, key, cost);
    }
}
