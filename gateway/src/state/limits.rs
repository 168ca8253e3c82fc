//! A set of buckets of any kind.
//!
//! Tokens and counts are kept in different ways. When the kind changes, what each key has used is carried over.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::buckets::{BucketKind, BucketSpec, Buckets, Reservation};
use super::clock::Clock;
use super::counted::Counted;

/// A set of buckets.
pub(super) struct BucketSet(ArcSwap<Way>);

enum Way {
    Token(Buckets),
    Counted(Counted),
}

impl BucketSet {
    pub(super) fn new(spec: BucketSpec) -> Self {
        Self(ArcSwap::from_pointee(Way::new(spec)))
    }

    pub(super) fn spec(&self) -> BucketSpec {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.spec(),
            Way::Counted(counted) => counted.spec(),
        }
    }

    pub(super) fn keys(&self) -> usize {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.keys(),
            Way::Counted(counted) => counted.keys(),
        }
    }

    pub(super) fn reserve(&self, key: &str, cost: u32, max_wait_ns: u64, clock: &dyn Clock) -> Reservation {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.reserve(key, cost, max_wait_ns, clock.now_ns()),
            Way::Counted(counted) => counted.reserve(key, cost, time_of(counted.spec().kind, clock)),
        }
    }

    pub(super) fn refund(&self, key: &str, cost: u32, clock: &dyn Clock) {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.refund(key, cost, clock.now_ns()),
            Way::Counted(counted) => counted.refund(key, cost, time_of(counted.spec().kind, clock)),
        }
    }

    pub(super) fn respec(&self, spec: BucketSpec, clock: &dyn Clock) {
        let old = self.0.load_full();
        let time = time_of(spec.kind, clock);
        let used = match &*old {
            Way::Token(buckets) if spec.kind == BucketKind::Token => return buckets.respec(spec, time),
            Way::Counted(counted) if spec.kind == counted.spec().kind => return counted.respec(spec),
            Way::Token(buckets) => buckets.used(clock.now_ns()),
            Way::Counted(counted) => counted.used(time_of(counted.spec().kind, clock)),
        };
        let new = Way::new(spec);
        for (key, used) in used {
            match &new {
                Way::Token(buckets) => buckets.charge(&key, used, time),
                Way::Counted(counted) => counted.charge(&key, used, time),
            }
        }
        self.0.store(Arc::new(new));
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.set_capacity(max_keys),
            Way::Counted(counted) => counted.set_capacity(max_keys),
        }
    }

    pub(super) fn sweep(&self, clock: &dyn Clock) {
        match &**self.0.load() {
            Way::Token(buckets) => buckets.sweep(clock.now_ns()),
            Way::Counted(counted) => counted.sweep(time_of(counted.spec().kind, clock)),
        }
    }
}

impl Way {
    fn new(spec: BucketSpec) -> Self {
        match spec.kind {
            BucketKind::Token => Self::Token(Buckets::new(spec)),
            BucketKind::SlidingWindow | BucketKind::Calendar => Self::Counted(Counted::new(spec)),
        }
    }
}

/// Calendars go by UTC, everything else by the clock that only grows.
fn time_of(kind: BucketKind, clock: &dyn Clock) -> u64 {
    match kind {
        BucketKind::Calendar => clock.wall_ms().saturating_mul(1_000_000),
        BucketKind::Token | BucketKind::SlidingWindow => clock.now_ns(),
    }
}
