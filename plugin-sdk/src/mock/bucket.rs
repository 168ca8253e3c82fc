//! Token buckets by the letter of `wit/host.wit`, for tests: exact, unbounded and slow.

use std::collections::BTreeMap;

use crate::bindings::policy::sluice::gateway::state::{BucketSpec, Reservation};

/// The buckets opened under one name.
pub(super) struct BucketSet {
    spec: BucketSpec,
    levels: BTreeMap<String, Level>,
}

/// Tokens times the period's nanoseconds, so that gaining `average` a nanosecond is exact. Below zero while somebody
/// waits for tokens that do not exist yet.
#[derive(Clone, Copy)]
struct Level {
    scaled: i128,
    at_ns: u64,
}

impl BucketSet {
    pub(super) fn new(spec: BucketSpec) -> Self {
        Self { spec, levels: BTreeMap::new() }
    }

    /// Other limits; what was taken stays taken.
    pub(super) fn set_spec(&mut self, spec: BucketSpec, now_ns: u64) {
        let keys: Vec<String> = self.levels.keys().cloned().collect();
        for key in keys {
            let scaled = self.level(&key, now_ns) * i128::from(spec.period_ns) / i128::from(self.spec.period_ns);
            self.levels.insert(key, Level { scaled, at_ns: now_ns });
        }
        self.spec = spec;
    }

    pub(super) fn reserve(&mut self, key: &str, cost: u32, max_wait_ns: u64, now_ns: u64) -> Reservation {
        let level = self.level(key, now_ns);
        let cost = i128::from(cost) * i128::from(self.spec.period_ns);
        let missing = (cost - level).max(0);
        let average = i128::from(self.spec.average);
        let wait_ns = u64::try_from((missing + average - 1) / average).unwrap_or(u64::MAX);
        let granted = cost <= self.capacity() && wait_ns <= max_wait_ns;
        let left = if granted { level - cost } else { level };
        self.levels.insert(key.to_owned(), Level { scaled: left, at_ns: now_ns });
        let remaining = u64::try_from(left.max(0) / i128::from(self.spec.period_ns)).unwrap_or(u64::MAX);
        Reservation { granted, wait_ns, remaining }
    }

    pub(super) fn refund(&mut self, key: &str, cost: u32, now_ns: u64) {
        let back = i128::from(cost) * i128::from(self.spec.period_ns);
        let scaled = (self.level(key, now_ns) + back).min(self.capacity());
        self.levels.insert(key.to_owned(), Level { scaled, at_ns: now_ns });
    }

    fn capacity(&self) -> i128 {
        i128::from(self.spec.burst) * i128::from(self.spec.period_ns)
    }

    fn level(&self, key: &str, now_ns: u64) -> i128 {
        let Some(level) = self.levels.get(key) else { return self.capacity() };
        let gained = i128::from(now_ns - level.at_ns) * i128::from(self.spec.average);
        (level.scaled + gained).min(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten tokens a second, three at once.
    const SPEC: BucketSpec = BucketSpec { average: 10, period_ns: 1_000_000_000, burst: 3 };
    const MS: u64 = 1_000_000;

    fn outcome(reservation: Reservation) -> (bool, u64, u64) {
        (reservation.granted, reservation.wait_ns / MS, reservation.remaining)
    }

    #[test]
    fn tokens_that_do_not_exist_yet_are_waited_for_or_not_taken() {
        let mut set = BucketSet::new(SPEC);
        assert_eq!(outcome(set.reserve("a", 2, 0, 0)), (true, 0, 1));
        assert_eq!(outcome(set.reserve("a", 2, 99 * MS, 0)), (false, 100, 1));
        assert_eq!(outcome(set.reserve("a", 2, 100 * MS, 0)), (true, 100, 0));
        assert_eq!(outcome(set.reserve("a", 1, 150 * MS, 0)), (false, 200, 0));
        assert_eq!(outcome(set.reserve("b", 1, 0, 0)), (true, 0, 2));
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let mut set = BucketSet::new(SPEC);
        set.reserve("a", 1, 0, 0);
        set.refund("a", 1, 0);
        set.refund("a", 1, 0);
        assert_eq!(outcome(set.reserve("a", 3, 0, 60_000 * MS)), (true, 0, 0));
        assert!(!set.reserve("a", 4, u64::MAX, 120_000 * MS).granted);
    }

    #[test]
    fn other_limits_keep_what_was_taken() {
        let mut set = BucketSet::new(SPEC);
        set.reserve("a", 3, 0, 0);
        set.set_spec(BucketSpec { average: 1, period_ns: 60_000 * MS, burst: 100 }, 0);
        assert_eq!(outcome(set.reserve("a", 1, 0, 0)), (false, 60_000, 0));
    }
}
