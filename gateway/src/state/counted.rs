//! Limits that count: so many in any span of a period, or in each unit of the calendar.
//!
//! A key has two numbers, what was taken in this period and in the one before; an absent key has taken nothing. Periods
//! begin at multiples of their length, by the monotonic clock or, for calendars, by UTC. A span of a period reaches back
//! into the one before, whose count is taken to be spread evenly (Cloudflare's estimate).

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::buckets::{BucketKind, BucketSpec, MAX_KEYS, Reservation};
use super::keyed::{Kept, Keyed};

/// A set of counts, one for each key.
pub(super) struct Counted {
    spec: ArcSwap<BucketSpec>,
    counts: Keyed<Mutex<Count>>,
}

/// What a key has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// The number of the period `taken` is of.
    unit: u64,
    taken: u64,
    before: u64,
    /// How long a period was.
    period_ns: u64,
}

impl Kept for Mutex<Count> {}

impl Counted {
    pub(super) fn new(spec: BucketSpec) -> Self {
        Self { spec: ArcSwap::from_pointee(spec), counts: Keyed::new(MAX_KEYS) }
    }

    pub(super) fn spec(&self) -> BucketSpec {
        **self.spec.load()
    }

    /// Takes `cost`, if there is room for it now.
    pub(super) fn reserve(&self, key: &str, cost: u32, time_ns: u64) -> Reservation {
        let spec = self.spec();
        self.with(key, spec, time_ns, |count| {
            let used = count.used(spec, time_ns);
            let granted = used.saturating_add(u64::from(cost)) <= spec.average;
            if granted {
                count.taken = count.taken.saturating_add(u64::from(cost));
            }
            let used = if granted { used.saturating_add(u64::from(cost)) } else { used };
            let wait_ns = if granted { 0 } else { count.wait(spec, u64::from(cost), time_ns) };
            Reservation { granted, wait_ns, remaining: spec.average.saturating_sub(used) }
        })
    }

    /// Gives back what was taken in this period.
    pub(super) fn refund(&self, key: &str, cost: u32, time_ns: u64) {
        let spec = self.spec();
        self.with(key, spec, time_ns, |count| count.taken = count.taken.saturating_sub(u64::from(cost)));
    }

    /// Other limits; what was taken stays taken.
    pub(super) fn respec(&self, spec: BucketSpec) {
        if self.spec() != spec {
            self.spec.store(Arc::new(spec));
        }
    }

    /// What each key has used up.
    pub(super) fn used(&self, time_ns: u64) -> Vec<(String, u64)> {
        let spec = self.spec();
        let used = |(key, count): (String, Arc<Mutex<Count>>)| {
            let mut count = lock(&count);
            count.advance(spec, time_ns);
            (key, count.used(spec, time_ns))
        };
        self.counts.entries().into_iter().map(used).collect()
    }

    /// Counts what was taken under limits of another kind.
    pub(super) fn charge(&self, key: &str, cost: u64, time_ns: u64) {
        let spec = self.spec();
        self.with(key, spec, time_ns, |count| count.taken = count.taken.saturating_add(cost));
    }

    /// Forgets keys that have taken nothing lately.
    pub(super) fn sweep(&self, time_ns: u64) {
        let spec = self.spec();
        self.counts.retain(|count| {
            let mut count = lock(count);
            count.advance(spec, time_ns);
            count.taken > 0 || count.before > 0
        });
    }

    pub(super) fn keys(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        self.counts.set_capacity(max_keys);
    }

    fn with<R>(&self, key: &str, spec: BucketSpec, time_ns: u64, change: impl FnOnce(&mut Count) -> R) -> R {
        let count = self.counts.get_or(key, Mutex::default);
        let mut count = lock(&count);
        count.advance(spec, time_ns);
        change(&mut count)
    }
}

impl Count {
    /// Brings the count to the period of now, and under these limits. A clock that was set back stays where it was.
    fn advance(&mut self, spec: BucketSpec, time_ns: u64) {
        let unit = time_ns / spec.period_ns;
        if self.period_ns != spec.period_ns {
            // Counted in other periods: what still counts by their measure was taken in this one.
            let old = BucketSpec { period_ns: self.period_ns.max(1), ..spec };
            self.roll(time_ns / old.period_ns);
            *self = Self { unit, taken: self.used(old, time_ns), before: 0, period_ns: spec.period_ns };
        }
        self.roll(unit);
    }

    fn roll(&mut self, unit: u64) {
        match unit.saturating_sub(self.unit) {
            0 => return,
            1 => (self.before, self.taken) = (self.taken, 0),
            _ => (self.before, self.taken) = (0, 0),
        }
        self.unit = unit;
    }

    fn used(&self, spec: BucketSpec, time_ns: u64) -> u64 {
        match spec.kind {
            BucketKind::Calendar => self.taken,
            BucketKind::Token | BucketKind::SlidingWindow => {
                let rest = spec.period_ns - time_ns % spec.period_ns;
                let weighed = u128::from(self.before) * u128::from(rest);
                self.taken.saturating_add(narrow(weighed.div_ceil(u128::from(spec.period_ns))))
            }
        }
    }

    /// How long until `cost` would be granted, if nobody else takes anything.
    fn wait(&self, spec: BucketSpec, cost: u64, time_ns: u64) -> u64 {
        let Some(room) = spec.average.checked_sub(cost) else { return u64::MAX };
        let rest = spec.period_ns - time_ns % spec.period_ns;
        if spec.kind == BucketKind::Calendar {
            return rest;
        }
        match room.checked_sub(self.taken) {
            // In this period, once less of the one before counts.
            Some(room) => rest.saturating_sub(shrunk(self.before, room, spec.period_ns)),
            None => rest.saturating_add(spec.period_ns - shrunk(self.taken, room, spec.period_ns)),
        }
    }
}

/// How much of a period may be left so that `count` weighs no more than `room`.
fn shrunk(count: u64, room: u64, period_ns: u64) -> u64 {
    if count == 0 {
        return period_ns;
    }
    narrow(u128::from(room) * u128::from(period_ns) / u128::from(count)).min(period_ns)
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn lock(count: &Mutex<Count>) -> std::sync::MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "counted_tests.rs"]
mod tests;
