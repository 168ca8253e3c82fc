//! Token buckets by key, right across threads and across changes of their limits.
//!
//! Takes a key, a cost and the time; gives a reservation. A bucket is one atomic number, the *theoretical arrival time*
//! of the generic cell rate algorithm: the moment at which it would be full again. What lies between now and that moment
//! is its debt; an absent key and a full bucket are the same. A decision is one look-up and one compare-and-swap, so two
//! threads can never spend one token.
//!
//! **The same as Go's `rate.Limiter`, which Traefik v3 uses**: a bucket begins full, and a reservation may spend tokens
//! that will exist within `max_wait_ns` (Traefik's `maxDelay`), which puts the bucket below zero. A reservation that
//! would wait longer is refused and takes nothing, where Traefik takes the token and gives it back. A cost above `burst`
//! is never granted. One difference: a refund gives back all of its cost; Go keeps what later reservations counted on.
//!
//! **Changed limits** keep each bucket's debt in *tokens*: one that owed 30 tokens owes 30 tokens at the new rate.

use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
pub use sluice_wasm::BucketKind;

/// Keys kept in one set of buckets, as many as Traefik keeps; the least used go first.
pub const MAX_KEYS: usize = 65_536;

/// Times are kept in eighths of a nanosecond, so that the interval of a token is exact enough at millions a second.
const UNITS: u64 = 8;

/// The largest time a cell can hold: its lowest bit is taken. 36 years of uptime.
const MAX_TIME: u64 = u64::MAX >> 1;

/// How long a bucket may take to fill.
const MAX_FILL_NS: u128 = 10 * 365 * 24 * 3600 * 1_000_000_000;

const MINUTE_NS: u64 = 60_000_000_000;

/// It holds at most `burst` tokens and gains `average` tokens each `period_ns`; other kinds grant `average` of them in a
/// period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketSpec {
    /// How it counts.
    pub kind: BucketKind,
    /// At least 1.
    pub average: u64,
    /// At least 1.
    pub period_ns: u64,
    /// At least 1.
    pub burst: u64,
}

/// Limits that no bucket can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A zero.
    #[error("a bucket needs average, period and burst above zero, got {average}, {period_ns} ns and {burst}", average = .0.average, period_ns = .0.period_ns, burst = .0.burst)]
    Zero(BucketSpec),
    /// Too slow.
    #[error("a bucket of {burst} tokens would take more than ten years to fill at {average} each {period_ns} ns; lower burst or period", average = .0.average, period_ns = .0.period_ns, burst = .0.burst)]
    TooSlow(BucketSpec),
    /// Not a unit of the calendar.
    #[error("a calendar has whole minutes, hours or days, got {period_ns} ns", period_ns = .0.period_ns)]
    NoUnit(BucketSpec),
}

/// What became of a request for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whether the tokens are taken.
    pub granted: bool,
    /// Granted: how long to wait before going on, 0 for at once. Refused: how long until it could be granted at once,
    /// `u64::MAX` for never.
    pub wait_ns: u64,
    /// Whole tokens left for this key.
    pub remaining: u64,
}

/// A set of buckets with equal limits, one for each key.
pub struct Buckets {
    limits: ArcSwap<Limits>,
    cells: Cells,
    /// Held while limits change, so that one change is complete before the next one begins.
    changing: Mutex<()>,
}

/// SipHash: keys come from clients, who must not be able to make them collide.
type Cells = Cache<String, Arc<AtomicU64>, UnitWeighter, RandomState>;

/// A spec in the arithmetic of cells.
struct Limits {
    spec: BucketSpec,
    /// Units of time that one token takes to come.
    interval: u64,
    /// Units of time that a full bucket is worth.
    capacity: u64,
    /// The lowest bit of every cell that was written under these limits. Cells with the other bit still count in the
    /// interval before.
    mark: u64,
    /// The interval before these limits.
    previous_interval: u64,
}

impl BucketSpec {
    /// Whether a bucket can have these limits.
    ///
    /// # Errors
    /// It cannot.
    pub fn validate(self) -> Result<(), SpecError> {
        if self.average == 0 || self.period_ns == 0 || self.burst == 0 {
            return Err(SpecError::Zero(self));
        }
        if self.kind == BucketKind::Calendar && !self.period_ns.is_multiple_of(MINUTE_NS) {
            return Err(SpecError::NoUnit(self));
        }
        let interval = u128::from(self.interval());
        if interval * u128::from(self.burst) > MAX_FILL_NS * u128::from(UNITS) {
            return Err(SpecError::TooSlow(self));
        }
        Ok(())
    }

    /// Rounded up: never more than `average` tokens in a period.
    fn interval(self) -> u64 {
        let units = u128::from(self.period_ns) * u128::from(UNITS);
        let interval = units.div_ceil(u128::from(self.average.max(1)));
        u64::try_from(interval).unwrap_or(MAX_TIME).clamp(1, MAX_TIME)
    }
}

impl Limits {
    fn new(spec: BucketSpec, mark: u64, previous_interval: u64) -> Self {
        let interval = spec.interval();
        let capacity = interval.saturating_mul(spec.burst).min(MAX_TIME);
        Self { spec, interval, capacity, mark, previous_interval }
    }

    /// When the bucket of a cell is full, at these limits; `now` where it is.
    fn full_at(&self, cell: u64, now: u64) -> u64 {
        let time = cell >> 1;
        if time <= now || cell & 1 == self.mark {
            return time.max(now);
        }
        let debt = u128::from(time - now) * u128::from(self.interval);
        let debt = debt.div_ceil(u128::from(self.previous_interval.max(1)));
        now.saturating_add(u64::try_from(debt).unwrap_or(MAX_TIME)).min(MAX_TIME)
    }

    fn cell(&self, full_at: u64) -> u64 {
        (full_at.min(MAX_TIME) << 1) | self.mark
    }

    /// Whole tokens in a bucket that is full at `full_at`.
    fn remaining(&self, full_at: u64, now: u64) -> u64 {
        self.capacity.saturating_sub(full_at.saturating_sub(now)) / self.interval
    }

    /// What to answer to a request for `cost`, and when the bucket is full if it is granted.
    fn decide(&self, full_at: u64, now: u64, cost: u32, max_wait_ns: u64) -> (Reservation, u64) {
        let price = self.interval.saturating_mul(u64::from(cost));
        let full_after = full_at.saturating_add(price).min(MAX_TIME);
        let wait = full_after.saturating_sub(now).saturating_sub(self.capacity);
        let is_possible = u64::from(cost) <= self.spec.burst;
        let wait_ns = if is_possible { wait.div_ceil(UNITS) } else { u64::MAX };
        let granted = is_possible && wait_ns <= max_wait_ns;
        let remaining = self.remaining(if granted { full_after } else { full_at }, now);
        (Reservation { granted, wait_ns, remaining }, full_after)
    }
}

impl Buckets {
    /// A set in which every bucket is full.
    #[must_use]
    pub fn new(spec: BucketSpec) -> Self {
        Self::with_max_keys(spec, MAX_KEYS)
    }

    /// A set that keeps about `max_keys` keys.
    #[must_use]
    pub fn with_max_keys(spec: BucketSpec, max_keys: usize) -> Self {
        let limits = Limits::new(spec, 0, spec.interval());
        let lifecycle = DefaultLifecycle::default();
        let cells = Cache::with(max_keys, max_keys as u64, UnitWeighter, RandomState::new(), lifecycle);
        Self { limits: ArcSwap::from_pointee(limits), cells, changing: Mutex::new(()) }
    }

    /// The limits of every bucket.
    #[must_use]
    pub fn spec(&self) -> BucketSpec {
        self.limits.load().spec
    }

    /// How many keys are kept.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.cells.len()
    }

    /// Takes `cost` tokens from the key's bucket, if necessary tokens that will exist within `max_wait_ns`.
    pub fn reserve(&self, key: &str, cost: u32, max_wait_ns: u64, now_ns: u64) -> Reservation {
        let now = time(now_ns);
        let Some(cell) = self.cell_or_full(key) else {
            // Cannot happen: making a cell does not fail. A full bucket is what an absent one is.
            return self.limits.load().decide(now, now, cost, max_wait_ns).0;
        };
        let mut answer = Reservation { granted: false, wait_ns: 0, remaining: 0 };
        self.update(&cell, now, |limits, full_at| {
            let (decision, full_after) = limits.decide(full_at, now, cost, max_wait_ns);
            answer = decision;
            decision.granted.then_some(full_after)
        });
        answer
    }

    /// Gives back what a granted reservation took. A bucket never becomes more than full.
    pub fn refund(&self, key: &str, cost: u32, now_ns: u64) {
        let now = time(now_ns);
        let Some(cell) = self.cells.get(key) else {
            return;
        };
        self.update(&cell, now, |limits, full_at| {
            let price = limits.interval.saturating_mul(u64::from(cost));
            Some(full_at.saturating_sub(price).max(now))
        });
    }

    /// Changes the limits. Every bucket keeps its debt in tokens; a smaller burst leaves it that much deeper below.
    pub fn respec(&self, spec: BucketSpec, now_ns: u64) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.limits.load_full();
        if old.spec == spec {
            return;
        }
        // No cell may be two changes old, since one bit could not tell it from a current one.
        self.sweep(now_ns);
        let new = Limits::new(spec, old.mark ^ 1, old.interval);
        self.limits.store(Arc::new(new));
        // From here on whoever meets an old cell converts it.
        self.sweep(now_ns);
    }

    /// What each key has spent, in whole tokens.
    pub(super) fn used(&self, now_ns: u64) -> Vec<(String, u64)> {
        let (now, limits) = (time(now_ns), self.limits.load());
        let debt = |cell: &AtomicU64| limits.full_at(cell.load(Ordering::Acquire), now) - now;
        self.cells.iter().map(|(key, cell)| (key, debt(&cell).div_ceil(limits.interval))).collect()
    }

    /// Spends tokens whether they are there or not.
    pub(super) fn charge(&self, key: &str, tokens: u64, now_ns: u64) {
        let now = time(now_ns);
        let Some(cell) = self.cell_or_full(key) else { return };
        self.update(&cell, now, |limits, full_at| {
            let price = limits.interval.saturating_mul(tokens).min(limits.capacity);
            Some(full_at.saturating_add(price))
        });
    }

    /// Keeps about that many keys from now on.
    pub(super) fn set_capacity(&self, max_keys: usize) {
        if self.cells.capacity() != max_keys as u64 {
            self.cells.set_capacity(max_keys as u64);
        }
    }

    /// Forgets full buckets, which are the same as none, and brings all others under the limits of now.
    pub fn sweep(&self, now_ns: u64) {
        let now = time(now_ns);
        self.cells.retain(|_, cell| {
            self.update(cell, now, |_, full_at| Some(full_at));
            let is_full = cell.load(Ordering::Acquire) >> 1 <= now;
            // A thread that holds the cell may be about to spend from it. None can get hold of it now: its part of the
            // cache is locked.
            !is_full || Arc::strong_count(cell) > 1
        });
    }

    fn cell_or_full(&self, key: &str) -> Option<Arc<AtomicU64>> {
        let made: Result<_, std::convert::Infallible> = self.cells.get_or_insert_with(key, || Ok(Arc::default()));
        made.ok()
    }

    /// Applies `change` to a cell, from "full at" to "full at", as often as other threads come between. None leaves it.
    fn update(&self, cell: &AtomicU64, now: u64, mut change: impl FnMut(&Limits, u64) -> Option<u64>) {
        let mut limits = self.limits.load();
        let mut seen = cell.load(Ordering::Acquire);
        loop {
            if seen & 1 != limits.mark {
                // Either the cell is from before these limits, or these limits are from before the cell. Limits are
                // stored before cells are written under them, so having seen the cell, this sees its limits.
                limits = self.limits.load();
            }
            let Some(full_at) = change(&limits, limits.full_at(seen, now)) else {
                return;
            };
            match cell.compare_exchange_weak(seen, limits.cell(full_at), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Buckets").field("spec", &self.spec()).field("keys", &self.keys()).finish()
    }
}

fn time(now_ns: u64) -> u64 {
    now_ns.saturating_mul(UNITS).min(MAX_TIME)
}

#[cfg(test)]
mod tests;
