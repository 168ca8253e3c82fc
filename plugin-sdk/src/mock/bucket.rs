//! Buckets by the letter of `wit/host.wit`, for tests: exact, unbounded and slow.

use std::collections::BTreeMap;

use crate::bindings::policy::sluice::gateway::state::{BucketKind, BucketSpec, Reservation};

/// The time by both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) ns: u64,
    pub(super) wall_ms: u64,
}

/// The buckets opened under one name.
pub(super) struct BucketSet {
    spec: BucketSpec,
    levels: BTreeMap<String, Level>,
    /// For kinds that count: each granted cost and when.
    taken: BTreeMap<String, Vec<(u64, i64)>>,
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
        Self { spec, levels: BTreeMap::new(), taken: BTreeMap::new() }
    }

    /// Other limits; what was taken stays taken.
    pub(super) fn set_spec(&mut self, spec: BucketSpec, now: Now) {
        let keys: Vec<String> = self.levels.keys().cloned().collect();
        for key in keys {
            let scaled = self.level(&key, now.ns) * i128::from(spec.period_ns) / i128::from(self.spec.period_ns);
            self.levels.insert(key, Level { scaled, at_ns: now.ns });
        }
        self.spec = spec;
    }

    pub(super) fn reserve(&mut self, key: &str, cost: u32, max_wait_ns: u64, now: Now) -> Reservation {
        match self.spec.kind {
            BucketKind::TokenBucket | BucketKind::Gcra => self.take(key, cost, max_wait_ns, now.ns),
            BucketKind::SlidingWindow | BucketKind::Calendar => self.count(key, cost, now),
        }
    }

    pub(super) fn refund(&mut self, key: &str, cost: u32, now: Now) {
        match self.spec.kind {
            BucketKind::TokenBucket | BucketKind::Gcra => {
                let back = i128::from(cost) * i128::from(self.spec.period_ns);
                let scaled = (self.level(key, now.ns) + back).min(self.capacity());
                self.levels.insert(key.to_owned(), Level { scaled, at_ns: now.ns });
            }
            BucketKind::SlidingWindow | BucketKind::Calendar => {
                let at = self.counting_clock(now);
                self.taken.entry(key.to_owned()).or_default().push((at, -i64::from(cost)));
            }
        }
    }

    fn take(&mut self, key: &str, cost: u32, max_wait_ns: u64, now_ns: u64) -> Reservation {
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

    fn count(&mut self, key: &str, cost: u32, now: Now) -> Reservation {
        let (at, period) = (self.counting_clock(now), self.spec.period_ns);
        let within = at % period;
        let taken = self.taken.entry(key.to_owned()).or_default();
        let of = |unit: u64| -> u64 {
            let sum: i64 = taken.iter().filter(|(then, _)| then / period == unit).map(|(_, cost)| *cost).sum();
            u64::try_from(sum).unwrap_or(0)
        };
        let before =
            if self.spec.kind == BucketKind::Calendar { 0 } else { (at / period).checked_sub(1).map_or(0, of) };
        let used = of(at / period) + weighted(before, period - within, period);
        let granted = used + u64::from(cost) <= self.spec.average;
        if granted {
            taken.push((at, i64::from(cost)));
        }
        let used = if granted { used + u64::from(cost) } else { used };
        let wait_ns = if granted { 0 } else { period - within };
        Reservation { granted, wait_ns, remaining: self.spec.average.saturating_sub(used) }
    }

    /// Calendars go by the wall clock.
    fn counting_clock(&self, now: Now) -> u64 {
        if self.spec.kind == BucketKind::Calendar { now.wall_ms.saturating_mul(1_000_000) } else { now.ns }
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

/// The part of a count that the rest of a period weighs, rounded up.
fn weighted(count: u64, rest: u64, period: u64) -> u64 {
    let product = u128::from(count) * u128::from(rest);
    u64::try_from(product.div_ceil(u128::from(period.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten tokens a second, three at once.
    const SPEC: BucketSpec =
        BucketSpec { kind: BucketKind::TokenBucket, average: 10, period_ns: 1_000_000_000, burst: 3 };
    const MS: u64 = 1_000_000;

    fn at(ns: u64) -> Now {
        Now { ns, wall_ms: ns / MS }
    }

    fn outcome(reservation: Reservation) -> (bool, u64, u64) {
        (reservation.granted, reservation.wait_ns / MS, reservation.remaining)
    }

    #[test]
    fn tokens_that_do_not_exist_yet_are_waited_for_or_not_taken() {
        let mut set = BucketSet::new(SPEC);
        assert_eq!(outcome(set.reserve("a", 2, 0, at(0))), (true, 0, 1));
        assert_eq!(outcome(set.reserve("a", 2, 99 * MS, at(0))), (false, 100, 1));
        assert_eq!(outcome(set.reserve("a", 2, 100 * MS, at(0))), (true, 100, 0));
        assert_eq!(outcome(set.reserve("a", 1, 150 * MS, at(0))), (false, 200, 0));
        assert_eq!(outcome(set.reserve("b", 1, 0, at(0))), (true, 0, 2));
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let mut set = BucketSet::new(SPEC);
        set.reserve("a", 1, 0, at(0));
        set.refund("a", 1, at(0));
        set.refund("a", 1, at(0));
        assert_eq!(outcome(set.reserve("a", 3, 0, at(60_000 * MS))), (true, 0, 0));
        assert!(!set.reserve("a", 4, u64::MAX, at(120_000 * MS)).granted);
    }

    #[test]
    fn other_limits_keep_what_was_taken() {
        let mut set = BucketSet::new(SPEC);
        set.reserve("a", 3, 0, at(0));
        set.set_spec(BucketSpec { average: 1, period_ns: 60_000 * MS, burst: 100, ..SPEC }, at(0));
        assert_eq!(outcome(set.reserve("a", 1, 0, at(0))), (false, 60_000, 0));
    }

    #[test]
    fn a_sliding_window_weighs_the_period_before() {
        let mut set = BucketSet::new(BucketSpec { kind: BucketKind::SlidingWindow, ..SPEC });
        assert_eq!(outcome(set.reserve("a", 10, 0, at(900 * MS))), (true, 0, 0));
        assert_eq!(outcome(set.reserve("a", 1, 0, at(1_000 * MS))), (false, 1_000, 0));
        assert_eq!(outcome(set.reserve("a", 5, 0, at(1_500 * MS))), (true, 0, 0));
        set.refund("a", 5, at(1_500 * MS));
        assert_eq!(outcome(set.reserve("a", 10, 0, at(2_000 * MS))), (true, 0, 0));
    }

    #[test]
    fn a_calendar_begins_anew_with_each_unit() {
        let spec = BucketSpec { kind: BucketKind::Calendar, period_ns: 60_000 * MS, ..SPEC };
        let mut set = BucketSet::new(spec);
        assert_eq!(outcome(set.reserve("a", 10, 0, at(59_000 * MS))), (true, 0, 0));
        assert_eq!(outcome(set.reserve("a", 1, 0, at(59_000 * MS))), (false, 1_000, 0));
        assert_eq!(outcome(set.reserve("a", 1, 0, at(60_000 * MS))), (true, 0, 9));
    }
}
