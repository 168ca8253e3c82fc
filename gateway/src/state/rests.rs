//! Rests for uses of plugins whose calls do not end, or only fail: each costs everybody in its worker what it takes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Calls in a row that are stopped at their deadline before a use rests.
const STOPPED: u32 = 3;
/// The first rest; each further stopped call doubles it. One call after each rest shows whether anything has changed.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(32);
/// Calls in a row that fail in other ways before a use rests.
const FAILED: u32 = 10;
/// How much longer than such a call the rest after it is, but no longer than the shortest one after a stopped call: a
/// hundredth of a worker's time is what failing calls may have.
const SHARE: u32 = 100;
/// Whoever calls first after a rest is waited for that long.
const TRIAL: Duration = Duration::from_secs(1);

/// What is known of a use, by all workers.
#[derive(Debug, Default)]
pub struct Rests {
    /// When its rest ends, on the clock of the state; 0 where there is none.
    until_ns: AtomicU64,
    stopped: AtomicU32,
    failed: AtomicU32,
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
        if in_a_row >= FAILED {
            self.rest(now_ns, took.saturating_mul(SHARE).min(SHORTEST));
        }
    }

    /// A call has ended by itself.
    pub fn ended(&self) {
        let late = self.stopped.load(Ordering::Relaxed) | self.failed.load(Ordering::Relaxed);
        if late != 0 {
            self.stopped.store(0, Ordering::Relaxed);
            self.failed.store(0, Ordering::Relaxed);
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
    fn a_use_rests_after_three_in_a_row_and_longer_each_time() {
        let rests = Rests::default();
        rests.stopped(0);
        rests.stopped(0);
        assert!(!rests.rests(|| 0));
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 32, 32] {
            rests.stopped(now);
            assert!(rests.rests(|| now) && rests.rests(|| now + seconds * S - 1), "{seconds}");
            now += seconds * S;
            assert!(!rests.rests(|| now), "{seconds}");
        }
    }

    #[test]
    fn one_of_all_tries_after_a_rest() {
        let rests = Rests::default();
        (0..3).for_each(|_| rests.stopped(0));
        assert_eq!([S, S, S + 1].map(|now| rests.rests(|| now)), [false, true, true]);
        // It was given up, and nobody has heard of it.
        assert!(!rests.rests(|| 2 * S));
        rests.ended();
        assert_eq!([2 * S, 2 * S].map(|now| rests.rests(|| now)), [false, false]);
    }

    #[test]
    fn a_call_that_ends_begins_the_count_anew() {
        let rests = Rests::default();
        for _ in 0..5 {
            rests.stopped(0);
            rests.stopped(0);
            (0..9).for_each(|_| rests.failed(MS, 0));
            rests.ended();
        }
        assert!(!rests.rests(|| 0));
    }

    #[test]
    fn calls_that_only_fail_have_a_hundredth_of_the_time() {
        let rests = Rests::default();
        (0..9).for_each(|_| rests.failed(MS, 0));
        assert!(!rests.rests(|| 0));
        rests.failed(MS, 0);
        assert!(rests.rests(|| S / 10 - 1) && !rests.rests(|| S / 10));
        rests.failed(MS * 100, 0);
        assert!(rests.rests(|| S - 1) && !rests.rests(|| S));
    }
}
