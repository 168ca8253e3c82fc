//! Rests for uses of plugins whose calls do not end: each call costs everybody in its worker a whole deadline.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Calls in a row that are stopped at their deadline before a use rests.
const STOPPED: u32 = 3;
/// The first rest; each further stopped call doubles it. One call after each rest shows whether anything has changed.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(32);

/// A use of a plugin: the number of the version, and the use's own.
pub(super) type Use = (u32, u32);

/// A worker's uses that were stopped. Nothing is kept of others.
#[derive(Default)]
pub(super) struct Rests(RefCell<HashMap<Use, Late, foldhash::fast::FixedState>>);

struct Late {
    in_a_row: u32,
    /// When its rest ends; when it was stopped, where that was not often enough for a rest.
    until: Instant,
}

impl Rests {
    /// A call was stopped at its deadline.
    pub(super) fn stopped(&self, which: Use, now: Instant) {
        let mut late = self.0.borrow_mut();
        let late = late.entry(which).or_insert(Late { in_a_row: 0, until: now });
        late.in_a_row = late.in_a_row.saturating_add(1);
        let rest = late
            .in_a_row
            .checked_sub(STOPPED)
            .map_or(Duration::ZERO, |more| SHORTEST.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST));
        late.until = now + rest;
    }

    /// A call has ended by itself.
    pub(super) fn ended(&self, which: Use) {
        if !self.0.borrow().is_empty() {
            self.0.borrow_mut().remove(&which);
        }
    }

    /// Whether a use is not to be called now.
    pub(super) fn rests(&self, which: Use, now: Instant) -> bool {
        self.0.borrow().get(&which).is_some_and(|late| now < late.until)
    }

    /// Forgets uses that were not stopped again for the longest rest: they are gone, or hardly anybody calls them.
    pub(super) fn sweep(&self, now: Instant) {
        self.0.borrow_mut().retain(|_, late| now < late.until + LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Use = (1, 1);
    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_use_rests_after_three_in_a_row_and_longer_each_time() {
        let (rests, start) = (Rests::default(), Instant::now());
        rests.stopped(ONE, start);
        rests.stopped(ONE, start);
        assert!(!rests.rests(ONE, start));
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 32, 32, 32] {
            rests.stopped(ONE, now);
            assert!(rests.rests(ONE, now) && rests.rests(ONE, now + seconds * S - S / 10), "{seconds}");
            assert!(!rests.rests((1, 2), now), "another use is called as before");
            now += seconds * S;
            assert!(!rests.rests(ONE, now), "{seconds}");
        }
    }

    #[test]
    fn a_call_that_ends_begins_the_count_anew() {
        let (rests, now) = (Rests::default(), Instant::now());
        for _ in 0..5 {
            rests.stopped(ONE, now);
            rests.stopped(ONE, now);
            rests.ended(ONE);
        }
        assert!(!rests.rests(ONE, now));
    }

    #[test]
    fn what_nobody_calls_is_forgotten() {
        let (rests, now) = (Rests::default(), Instant::now());
        (0..3).for_each(|_| rests.stopped(ONE, now));
        rests.stopped((1, 2), now);
        rests.sweep(now + LONGEST);
        assert!(!rests.0.borrow().is_empty());
        rests.sweep(now + 2 * LONGEST);
        assert!(rests.0.borrow().is_empty());
    }
}
