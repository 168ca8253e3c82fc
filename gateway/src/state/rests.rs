//! Rests for uses of plugins whose calls do not end, or only fail: each costs everybody in its worker what it takes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Calls in a row that are stopped at their deadline before a use rests. Deadlines are counted in ticks of a clock that
/// stands still when the machine does, so two are no accident.
const STOPPED: u32 = 2;
/// The first rest; each further stopped call doubles it. One call after each rest shows whether anything has changed. With
/// shorter ones, a loop of 50 ms at a time would be in the way of a hundredth of its neighbours' requests.
const SHORTEST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(32);
/// Calls in a row that fail in other ways, and the time they may take together, before a use rests.
const FAILED: u32 = 3;
const FAILED_US: u64 = 5_000;
/// How much longer than such a call the rest after it is, but no longer than the shortest one after a stopped call: one in
/// 400 of a worker's moments is what failing calls may have.
const SHARE: u32 = 400;
/// Whoever calls first after a rest is waited for that long.
const TRIAL: Duration = Duration::from_secs(1);

/// What is known of a use, by all workers.
#[derive(Debug, Default)]
pub struct Rests {
    /// When its rest ends, on the clock of the state; 0 where there is none.
    until_ns: AtomicU64,
    stopped: AtomicU32,
    failed: AtomicU32,
    failed_us: AtomicU64,
}

impl Rests {
    /// A call was stopped at its deadline.
    pub fn stopped(&self, now_ns: u64) {
        let in_a_row = self.stopped.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some(more) = in_a_row.checked_sub(STOPPED) {
            self.rest(now_ns, SHORTEST.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST));
        }
    }

    /// A call has failed in another way, after that time.
    pub fn failed(&self, took: Duration, now_ns: u64) {
        let in_a_row = self.failed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let together = self.failed_us.fetch_add(us, Ordering::Relaxed).saturating_add(us);
        if in_a_row >= FAILED && together >= FAILED_US {
            self.rest(now_ns, took.saturating_mul(SHARE).min(SHORTEST));
        }
    }

    /// A call has ended by itself.
    pub fn ended(&self) {
        let late = self.stopped.load(Ordering::Relaxed) | self.failed.load(Ordering::Relaxed);
        if late != 0 {
            self.stopped.store(0, Ordering::Relaxed);
            self.failed.store(0, Ordering::Relaxed);
            self.failed_us.store(0, Ordering::Relaxed);
            self.until_ns.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a use is not to be called now. Of those who ask after a rest, one is to call it.
    pub fn rests(&self, now_ns: impl FnOnce() -> u64) -> bool {
        let until = self.until_ns.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let now = now_ns();
        let trial = now.saturating_add(nanoseconds(TRIAL));
        now < until || self.until_ns.compare_exchange(until, trial, Ordering::Relaxed, Ordering::Relaxed).is_err()
    }

    fn rest(&self, now_ns: u64, time: Duration) {
        self.until_ns.store(now_ns.saturating_add(nanoseconds(time)).max(1), Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_use_rests_after_two_in_a_row_and_longer_each_time() {
        let rests = Rests::default();
        rests.stopped(0);
        assert!(!rests.rests(|| 0));
        let mut now = 0;
        for seconds in [4, 8, 16, 32, 32, 32] {
            rests.stopped(now);
            assert!(rests.rests(|| now) && rests.rests(|| now + seconds * S - 1), "{seconds}");
            now += seconds * S;
            assert!(!rests.rests(|| now), "{seconds}");
        }
    }

    #[test]
    fn one_of_all_tries_after_a_rest() {
        let rests = Rests::default();
        (0..2).for_each(|_| rests.stopped(0));
        assert_eq!([4 * S, 4 * S, 4 * S + 1].map(|now| rests.rests(|| now)), [false, true, true]);
        // It was given up, and nobody has heard of it.
        assert!(!rests.rests(|| 5 * S));
        rests.ended();
        assert_eq!([5 * S, 5 * S].map(|now| rests.rests(|| now)), [false, false]);
    }

    #[test]
    fn a_call_that_ends_begins_the_count_anew() {
        let rests = Rests::default();
        for _ in 0..5 {
            rests.stopped(0);
            (0..4).for_each(|_| rests.failed(MS, 0));
            rests.ended();
        }
        assert!(!rests.rests(|| 0));
    }

    #[test]
    fn calls_that_only_fail_have_a_small_part_of_the_time() {
        let rests = Rests::default();
        (0..4).for_each(|_| rests.failed(MS, 0));
        assert!(!rests.rests(|| 0));
        rests.failed(MS, 0);
        assert!(rests.rests(|| 4 * S / 10 - 1) && !rests.rests(|| 4 * S / 10));
        rests.failed(MS * 100, 0);
        assert!(rests.rests(|| 4 * S - 1) && !rests.rests(|| 4 * S));
        let slow = Rests::default();
        (0..2).for_each(|_| slow.failed(MS * 100, 0));
        assert!(!slow.rests(|| 0), "twice may happen");
    }
}
