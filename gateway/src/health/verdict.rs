//! From single answers to whether an instance takes requests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// An instance that changes more often than this within a minute is damped.
const MOST_CHANGES: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a damped instance stays down at least; twice as long each time, up to the most.
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// The answers so far, as far as they count.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Answers in a row that speak against what holds.
    against: u32,
    changes: VecDeque<Instant>,
    held_until: Option<Instant>,
    hold: Duration,
}

impl Verdict {
    /// Whether the instance takes requests after an answer at `now`; `passes` good ones in a row bring it up, `failures`
    /// bad ones down.
    pub(super) fn after(&mut self, good: bool, up: bool, passes: u32, failures: u32, now: Instant) -> bool {
        if good == up {
            self.against = 0;
            return up;
        }
        self.against += 1;
        let needed = if good { passes } else { failures };
        if self.against < needed || (good && self.held_until.is_some_and(|until| now < until)) {
            return up;
        }
        self.against = 0;
        self.changed(good, now);
        good
    }

    fn changed(&mut self, up: bool, now: Instant) {
        self.changes.retain(|at| now.duration_since(*at) < MINUTE);
        self.changes.push_back(now);
        if self.changes.len() <= MOST_CHANGES {
            if self.changes.len() == 1 {
                self.hold = Duration::ZERO;
            }
            return;
        }
        if !up {
            self.hold = (self.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD);
            self.held_until = Some(now + self.hold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn answers_in_a_row_decide() {
        let mut verdict = Verdict::default();
        let mut up = true;
        let start = Instant::now();
        let states = [false, false, true, false, false, false, true, true].map(|good| {
            up = verdict.after(good, up, 2, 3, start);
            up
        });
        assert_eq!(states, [true, true, true, true, true, false, false, true]);
    }

    #[test]
    fn one_answer_decides_where_one_is_enough() {
        let mut verdict = Verdict::default();
        let now = Instant::now();
        assert!(!verdict.after(false, true, 1, 1, now));
        assert!(verdict.after(true, false, 1, 1, now));
    }

    #[test]
    fn flapping_is_damped_longer_and_longer_and_forgiven() {
        let mut verdict = Verdict::default();
        let start = Instant::now();
        let mut up = true;
        // Down, up, down, up, down: five changes are fine; then up, and the next down is held.
        for second in 0..7 {
            up = verdict.after(!up, up, 1, 1, start + SECOND * second);
        }
        assert!(!up, "down by the seventh change");
        assert!(!verdict.after(true, up, 1, 1, start + SECOND * 8), "held");
        assert!(verdict.after(true, up, 1, 1, start + SECOND * 17), "for ten seconds");
        assert!(!verdict.after(false, true, 1, 1, start + SECOND * 18));
        assert!(!verdict.after(true, false, 1, 1, start + SECOND * 30), "for twenty this time");
        assert!(verdict.after(true, false, 1, 1, start + SECOND * 39));
        let later = start + SECOND * 500;
        assert!(!verdict.after(false, true, 1, 1, later));
        assert!(verdict.after(true, false, 1, 1, later + SECOND), "quiet for long, so it is not held");
    }
}
