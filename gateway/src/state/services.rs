//! What is known of services and of their targets as each service sees them: whose turn it is, who is out and until
//! when, how long answers take, how much is under way.
//!
//! Takes names, gives shared state; it is kept while a generation uses it, so that neither turns nor health start over
//! when something else changes. Nothing here is locked on the way of a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sluice_model::balance::{Cycle, load, rebalance};

use super::clock::Clock;
use super::queue::Queue;
use super::retries::RetryBudget;

/// Answers whose times make up a target's mean.
const TIMES: usize = 100;
/// How long failures are counted before weights are moved, and how long moved weights stay at least.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a peak of latency takes to fade to a third.
const DECAY_NS: f64 = 10e9;

/// Every service that somebody uses.
pub struct Services {
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<Arc<str>, Weak<ServiceState>>>,
}

/// One service.
pub struct ServiceState {
    turn: AtomicUsize,
    /// Targets that were taken out and have not been seen to be back.
    out: AtomicU32,
    clock: Arc<dyn Clock>,
    targets: Mutex<HashMap<String, Weak<TargetState>>>,
    rebalanced: Rebalanced,
    queue: ArcSwapOption<Queue>,
    retries: Arc<RetryBudget>,
}

/// Weights that were moved away from failing targets.
#[derive(Debug, Default)]
struct Rebalanced {
    /// When failures have been counted for long enough.
    due: AtomicU64,
    weights: Mutex<Vec<u32>>,
    cycle: ArcSwapOption<Cycle>,
}

/// A target as one service sees it.
#[derive(Debug, Default)]
pub struct TargetState {
    /// When it comes back, on the clock; 0 while it is in.
    out_until: AtomicU64,
    out_since: AtomicU64,
    /// How often it was taken out without having been well for long in between.
    times_out: AtomicU32,
    /// Since when it takes requests; 0 is always.
    since: AtomicU64,
    streak: AtomicU32,
    failures: AtomicU32,
    failures_since: AtomicU64,
    answered: AtomicU32,
    failed: AtomicU32,
    /// A float's bits: nanoseconds.
    peak: AtomicU64,
    peak_at: AtomicU64,
    times: OnceLock<Box<Times>>,
}

/// The last answers' times in microseconds, each in its slot, and their sum.
#[derive(Debug)]
struct Times {
    slots: [AtomicU32; TIMES],
    count: AtomicUsize,
    sum: AtomicU64,
}

impl Services {
    /// Knows no service yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// The state of a service, old or new. Whoever keeps it keeps it alive.
    pub fn get(&self, name: &Arc<str>) -> Arc<ServiceState> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(name).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(ServiceState::new(Arc::clone(&self.clock)));
        known.insert(Arc::clone(name), Arc::downgrade(&state));
        state
    }

    /// Forgets services that nobody uses.
    pub fn sweep(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, state| state.strong_count() > 0);
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServiceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceState").field("turn", &self.turn).field("out", &self.out).finish_non_exhaustive()
    }
}

impl ServiceState {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            turn: AtomicUsize::new(0),
            out: AtomicU32::new(0),
            clock,
            targets: Mutex::default(),
            rebalanced: Rebalanced::default(),
            queue: ArcSwapOption::empty(),
            retries: Arc::default(),
        }
    }

    /// How many requests may be sent again at once.
    #[must_use]
    pub fn retries(&self) -> &Arc<RetryBudget> {
        &self.retries
    }

    /// The state of a target by its URL. A new one that `joins` a service which was there before has come up just now.
    pub fn target(&self, url: &str, joins: bool) -> Arc<TargetState> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = targets.get(url).and_then(Weak::upgrade) {
            return state;
        }
        targets.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(TargetState::default());
        if joins {
            state.since.store(self.now(), Ordering::Relaxed);
        }
        targets.insert(url.to_owned(), Arc::downgrade(&state));
        state
    }

    /// Takes the next turn.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether no target is out.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.out.load(Ordering::Relaxed) == 0
    }

    /// The clock all times here are on.
    #[must_use]
    pub fn now(&self) -> u64 {
        // 0 means never and always, so no moment is 0.
        self.clock.now_ns().max(1)
    }

    /// Takes a target out for a time. Answers whether it was in.
    pub fn take_out(&self, target: &TargetState, time: Duration) -> bool {
        let now = self.now();
        let until = now.saturating_add(nanoseconds(time));
        let taken = target.out_until.compare_exchange(0, until, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if taken {
            target.out_since.store(now, Ordering::Relaxed);
            self.out.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Brings a target back before its time is over.
    pub fn bring_back(&self, target: &TargetState) {
        let until = target.out_until.load(Ordering::Relaxed);
        if until != 0 {
            self.end(target, until, self.now());
        }
    }

    /// Whether a target is out at this moment. A passing check after `passed_at` brings it back early.
    pub fn is_out(&self, target: &TargetState, passed_at: u64) -> bool {
        let until = target.out_until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let back = if passed_at > target.out_since.load(Ordering::Relaxed) { passed_at } else { until };
        if self.now() < back {
            return true;
        }
        self.end(target, until, back);
        false
    }

    fn end(&self, target: &TargetState, until: u64, back: u64) {
        if target.out_until.compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            target.since.store(back, Ordering::Relaxed);
            target.streak.store(0, Ordering::Relaxed);
            target.failures.store(0, Ordering::Relaxed);
            self.out.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The order of turns with moved weights, where they are moved.
    #[must_use]
    pub fn rebalanced(&self) -> Option<Arc<Cycle>> {
        self.rebalanced.cycle.load_full()
    }

    /// Moves weights once failures have been counted for long enough. `declared` are those of the `targets`.
    pub fn rebalance(&self, targets: &[&TargetState], declared: &[u32]) {
        let (now, due) = (self.now(), self.rebalanced.due.load(Ordering::Relaxed));
        if now < due {
            return;
        }
        let next = now.saturating_add(nanoseconds(WINDOW));
        let mine = self.rebalanced.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // The first window has only just begun.
        if !mine || due == 0 {
            return;
        }
        let shares: Vec<f64> = targets.iter().map(|target| target.take_share_of_failures()).collect();
        let mut weights = self.rebalanced.weights.lock().unwrap_or_else(PoisonError::into_inner);
        if weights.len() != declared.len() {
            *weights = declared.to_vec();
        }
        if rebalance(&mut weights, declared, &shares) {
            tracing::info!(weights = ?*weights, declared = ?declared, "weights of a service moved");
            self.rebalanced.cycle.store((*weights != declared).then(|| Arc::new(Cycle::new(&weights))));
        }
    }

    /// Weights are as declared again, because other targets are there.
    pub fn reset_weights(&self) {
        self.rebalanced.weights.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.rebalanced.cycle.store(None);
    }

    /// What limits the requests under way, where anything does.
    #[must_use]
    pub fn queue(&self) -> Option<Arc<Queue>> {
        self.queue.load_full()
    }

    /// Limits the requests under way from now on. Those under way already count.
    pub fn limit(&self, limit: Option<&sluice_model::service::RequestLimit>) {
        match (self.queue.load_full(), limit) {
            (Some(queue), Some(limit)) => queue.adjust(limit),
            (_, limit) => self.queue.store(limit.map(|limit| Arc::new(Queue::new(limit)))),
        }
    }
}

impl TargetState {
    /// Since when it takes requests; 0 is always.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Whether it was taken out and nobody has seen it back yet.
    #[must_use]
    pub fn was_taken_out(&self) -> bool {
        self.out_until.load(Ordering::Relaxed) != 0
    }

    /// Notes a failure; answers how many there were in a row.
    pub fn fail(&self) -> u32 {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.streak.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes a failure; answers how many there were within `window`.
    pub fn fail_within(&self, now: u64, window: Duration) -> u32 {
        let since = self.failures_since.load(Ordering::Relaxed);
        if now.saturating_sub(since) > nanoseconds(window) {
            self.failures_since.store(now, Ordering::Relaxed);
            self.failures.store(1, Ordering::Relaxed);
            return 1;
        }
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes an answer that is no failure.
    pub fn succeed(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// How long to take it out: twice as long as the time before, unless it has been well for longer than `most`.
    pub fn next_time_out(&self, now: u64, base: Duration, most: Duration) -> Duration {
        let well_for = now.saturating_sub(self.since());
        let before = self.times_out.load(Ordering::Relaxed);
        let before = if well_for > nanoseconds(most) { 0 } else { before };
        self.times_out.store(before.saturating_add(1), Ordering::Relaxed);
        base.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(most)
    }

    /// Of what it answered since this was asked before, the share that failed.
    fn take_share_of_failures(&self) -> f64 {
        let (answered, failed) = (self.answered.swap(0, Ordering::Relaxed), self.failed.swap(0, Ordering::Relaxed));
        f64::from(failed) / f64::from(answered.max(1))
    }

    /// Notes how long an answer took, for [`mean_ns`](Self::mean_ns).
    pub fn time(&self, time: Duration) {
        let times = self.times.get_or_init(Box::default);
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let at = times.count.fetch_add(1, Ordering::Relaxed) % TIMES;
        if let Some(slot) = times.slots.get(at) {
            let before = slot.swap(micros, Ordering::Relaxed);
            times.sum.fetch_add(u64::from(micros), Ordering::Relaxed);
            times.sum.fetch_sub(u64::from(before), Ordering::Relaxed);
        }
    }

    /// The mean time of the last answers; 0 before the first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean of at most a hundred times")]
    pub fn mean_ns(&self) -> f64 {
        let Some(times) = self.times.get() else { return 0.0 };
        let count = times.count.load(Ordering::Relaxed).clamp(1, TIMES);
        times.sum.load(Ordering::Relaxed) as f64 * 1000.0 / count as f64
    }

    /// Notes how long an answer took, for [`peak_ns`](Self::peak_ns). Of two at once one may be lost.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub fn time_peak(&self, now: u64, time: Duration) {
        let elapsed = now.saturating_sub(self.peak_at.swap(now, Ordering::Relaxed));
        let average = f64::from_bits(self.peak.load(Ordering::Relaxed));
        let next = load::peak_ewma(average, nanoseconds(time) as f64, elapsed as f64, DECAY_NS);
        self.peak.store(next.to_bits(), Ordering::Relaxed);
    }

    /// Recent peak latency; 0 before the first answer.
    #[must_use]
    pub fn peak_ns(&self) -> f64 {
        f64::from_bits(self.peak.load(Ordering::Relaxed))
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { slots: [const { AtomicU32::new(0) }; TIMES], count: AtomicUsize::new(0), sum: AtomicU64::new(0) }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
