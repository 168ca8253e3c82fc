//! What the machine has shown it can do, as Sentinel's system rule and BBR measure it: the most requests that succeeded in
//! a second, times the least time one took. That many under way keep it busy; more than that only wait.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::Cell;

/// A number for each of the last seconds, by the second's last digit.
const SECONDS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// The low bits are what was measured, those above the second it was measured in.
const VALUE_BITS: u32 = 32;
const VALUE: u64 = (1 << VALUE_BITS) - 1;
/// A measure of the last ten seconds does not change sooner.
const PERIOD: Duration = Duration::from_millis(250);

/// What succeeded lately, one truth for all workers.
#[derive(Debug)]
pub(crate) struct Capacity {
    /// How many succeeded in each second.
    succeeded: Cell,
    /// The least time one of them took, in microseconds.
    fastest: Cell,
    /// What was found last, and until when that is good enough.
    known: (Option<u64>, Duration),
}

impl Capacity {
    pub(crate) fn open() -> Result<Self, String> {
        Ok(Self { succeeded: Cell::open("succeeded")?, fastest: Cell::open("fastest")?, known: (None, Duration::ZERO) })
    }

    /// A request succeeded.
    pub(crate) fn note(&self, now: Duration, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(VALUE).clamp(1, VALUE);
        change(self.succeeded, now, |count| (count.unwrap_or(0) + 1).min(VALUE));
        change(self.fastest, now, |fastest| fastest.unwrap_or(VALUE).min(took_us));
    }

    /// So many under way keep the machine busy; `None` where nothing has succeeded lately.
    pub(crate) fn under_way(&mut self, now: Duration) -> Option<u64> {
        if now >= self.known.1 {
            self.known = (self.find(now), now + PERIOD);
        }
        self.known.0
    }

    fn find(&self, now: Duration) -> Option<u64> {
        let most = lately(self.succeeded, now).max()?;
        let fastest_us = lately(self.fastest, now).min()?;
        Some(most.saturating_mul(fastest_us).div_ceil(1_000_000))
    }
}

/// The second, from 1 on, so that a number of 0 is of none.
fn second(now: Duration) -> u64 {
    now.as_secs() + 1
}

/// Changes the number of this second; `None` is none yet.
fn change(cell: Cell, now: Duration, change: impl Fn(Option<u64>) -> u64) {
    let second = second(now);
    let Some(key) = usize::try_from(second % 10).ok().and_then(|place| SECONDS.get(place)) else { return };
    let mut raw = cell.load(key);
    loop {
        let known = (raw >> VALUE_BITS == second).then_some(raw & VALUE);
        let new = second << VALUE_BITS | change(known);
        if new == raw {
            return;
        }
        match cell.swap_if(key, raw, new) {
            Ok(()) => return,
            Err(other) => raw = other,
        }
    }
}

/// The numbers of the last ten seconds.
fn lately(cell: Cell, now: Duration) -> impl Iterator<Item = u64> {
    let oldest = (second(now) + 1).saturating_sub(10);
    let numbers = SECONDS.into_iter().map(move |key| cell.load(key)).filter(|raw| *raw != 0);
    numbers.filter(move |raw| raw >> VALUE_BITS >= oldest).map(|raw| raw & VALUE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::mock::Host;

    use super::*;

    #[test]
    fn it_is_the_best_second_times_the_fastest_answer() {
        let _host = Host::new();
        let mut capacity = Capacity::open().unwrap();
        let at = Duration::from_secs;
        assert_eq!(capacity.under_way(at(0)), None);
        for _ in 0..40 {
            capacity.note(at(1), Duration::from_millis(60));
        }
        capacity.note(at(2), Duration::from_millis(50));
        assert_eq!(capacity.under_way(at(2)), Some(2), "40 a second of 50 ms each");
        assert_eq!(capacity.under_way(at(10)), Some(2));
        assert_eq!(capacity.under_way(at(11)), Some(1), "the best second is too long ago");
        assert_eq!(capacity.under_way(at(12)), None);
    }
}
