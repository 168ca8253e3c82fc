//! The states of a breaker and what takes it from one to the next.
//!
//! All of it is in two numbers of the host for each key, changed by compare-and-swap: workers agree, and a new version of
//! the plugin goes on where the old one was. Whoever makes a transition is told so, exactly once.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::Cell;

/// How long a breaker stays in its states.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timing {
    /// How long it is open the first time.
    pub(crate) open: Duration,
    /// By what that grows each time it opens again before it was closed.
    pub(crate) factor: f64,
    pub(crate) ceiling: Duration,
    /// Up to this share is taken off at random, so that not everything comes back at once.
    pub(crate) jitter: f64,
    pub(crate) recovery: Recovery,
    pub(crate) recovery_time: Duration,
}

/// How a breaker finds out whether it may close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// A share of requests passes that rises to a half over the recovery time.
    Ramp,
    /// That many requests pass and have to succeed; a round of them may take the recovery time.
    Probes(u32),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Pass,
    /// It passes and counts as a probe of that round.
    Probe(u16),
    Refuse {
        retry_in: Duration,
    },
}

/// What a breaker has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Traffic flows.
    Closed,
    Open,
    Recovering,
}

/// A breaker's number, taken apart: two bits of phase, six of how often it has opened without closing, and the
/// microsecond its phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    phase: Phase,
    trips: u8,
    until_us: u64,
}

const MAX_TRIPS: u8 = 63;
/// 56 bits of microseconds are two thousand years.
const MAX_US: u64 = (1 << 56) - 1;

/// The breakers of a policy, by key.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    words: Cell,
    /// How many passed and were refused, or passed and succeeded, in a recovery; 16 bits say in which.
    counts: Cell,
    timing: Timing,
}

impl Machine {
    pub(crate) fn open(timing: Timing) -> Result<Self, String> {
        Ok(Self { words: Cell::open("breaker")?, counts: Cell::open("recovery")?, timing })
    }

    /// Whether a key is as it is at first, the quickest of all questions.
    pub(crate) fn is_closed(&self, key: &str) -> bool {
        self.words.load(key) == 0
    }

    pub(crate) fn phase(&self, key: &str) -> Phase {
        Word::read(self.words.load(key)).phase
    }

    /// What becomes of a request; `changed` is told of transitions this makes.
    pub(crate) fn admit(&self, key: &str, now: Duration, changed: &mut impl FnMut(Phase)) -> Admission {
        let now_us = microseconds(now);
        let mut raw = self.words.load(key);
        loop {
            let word = Word::read(raw);
            let next = match word.phase {
                Phase::Closed => return Admission::Pass,
                Phase::Open if now_us < word.until_us => {
                    return Admission::Refuse { retry_in: Duration::from_micros(word.until_us - now_us) };
                }
                Phase::Open => self.recovering(word, now_us),
                Phase::Recovering if now_us > word.until_us => match self.timing.recovery {
                    Recovery::Ramp => Word { phase: Phase::Closed, trips: 0, until_us: 0 },
                    // The probes of this round did not all come back.
                    Recovery::Probes(_) => self.recovering(word, now_us),
                },
                Phase::Recovering => return self.let_some_in(key, word, now_us),
            };
            match self.words.swap_if(key, raw, next.write()) {
                Ok(()) => {
                    if next.phase != word.phase {
                        changed(next.phase);
                    }
                    raw = next.write();
                }
                Err(other) => raw = other,
            }
        }
    }

    /// Opens a breaker that is not open. `chance` is between 0 and 1. Answers how long it will be open, if this did it.
    pub(crate) fn trip(&self, key: &str, now: Duration, chance: f64) -> Option<Duration> {
        let mut raw = self.words.load(key);
        loop {
            let word = Word::read(raw);
            if word.phase == Phase::Open {
                return None;
            }
            let open = self.open_time(word.trips, chance);
            let until_us = microseconds(now + open).min(MAX_US);
            let next = Word { phase: Phase::Open, trips: (word.trips + 1).min(MAX_TRIPS), until_us };
            match self.words.swap_if(key, raw, next.write()) {
                Ok(()) => return Some(open),
                Err(other) => raw = other,
            }
        }
    }

    /// A probe has succeeded; answers whether that closed the breaker.
    pub(crate) fn probe_succeeded(&self, key: &str, round: u16) -> bool {
        let Recovery::Probes(wanted) = self.timing.recovery else { return false };
        let mut raw = self.counts.load(key);
        loop {
            let Some((passed, succeeded)) = counts(raw, round) else { return false };
            match self.counts.swap_if(key, raw, join(round, passed, succeeded + 1)) {
                Ok(()) if succeeded + 1 < wanted => return false,
                Ok(()) => break,
                Err(other) => raw = other,
            }
        }
        let raw = self.words.load(key);
        let word = Word::read(raw);
        word.phase == Phase::Recovering && word.round() == round && self.words.swap_if(key, raw, 0).is_ok()
    }

    /// How long a breaker stays open that has opened that often before.
    fn open_time(&self, trips: u8, chance: f64) -> Duration {
        let grown = self.timing.open.as_secs_f64() * self.timing.factor.powi(i32::from(trips));
        let capped = grown.min(self.timing.ceiling.as_secs_f64());
        let kept = capped * (1.0 - self.timing.jitter * chance);
        // Without a factor and a chance it is to be exact.
        if trips == 0 && self.timing.jitter == 0.0 { self.timing.open } else { Duration::from_secs_f64(kept) }
    }

    fn recovering(&self, word: Word, now_us: u64) -> Word {
        let until_us = now_us.saturating_add(microseconds(self.timing.recovery_time)).min(MAX_US);
        Word { phase: Phase::Recovering, until_us, ..word }
    }

    fn let_some_in(&self, key: &str, word: Word, now_us: u64) -> Admission {
        let round = word.round();
        let total_us = microseconds(self.timing.recovery_time).max(1);
        let elapsed_us = total_us.saturating_sub(word.until_us.saturating_sub(now_us));
        let mut raw = self.counts.load(key);
        loop {
            let (passed, other) = counts(raw, round).unwrap_or_default();
            let (admission, next) = match self.timing.recovery {
                Recovery::Ramp if fits_ramp(passed, other, elapsed_us, total_us) => {
                    (Admission::Pass, join(round, passed + 1, other))
                }
                Recovery::Ramp => (Admission::Refuse { retry_in: Duration::ZERO }, join(round, passed, other + 1)),
                Recovery::Probes(wanted) if passed < wanted => {
                    (Admission::Probe(round), join(round, passed + 1, other))
                }
                Recovery::Probes(_) => return Admission::Refuse { retry_in: Duration::ZERO },
            };
            match self.counts.swap_if(key, raw, next) {
                Ok(()) => return admission,
                Err(other) => raw = other,
            }
        }
    }
}

/// Whether one more may pass: what passed of all has to stay below half the share of the time that is over.
fn fits_ramp(passed: u32, refused: u32, elapsed_us: u64, total_us: u64) -> bool {
    let (passed, all) = (u128::from(passed) + 1, u128::from(passed) + 1 + u128::from(refused));
    passed * 2 * u128::from(total_us) < all * u128::from(elapsed_us)
}

impl Word {
    fn read(raw: u64) -> Self {
        let phase = match raw & 3 {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::Recovering,
        };
        Self { phase, trips: (raw >> 2 & 63) as u8, until_us: raw >> 8 }
    }

    fn write(self) -> u64 {
        let phase = match self.phase {
            Phase::Closed => return 0,
            Phase::Open => 1,
            Phase::Recovering => 2,
        };
        self.until_us << 8 | u64::from(self.trips) << 2 | phase
    }

    /// What tells one recovery from the next.
    fn round(self) -> u16 {
        (self.until_us & 0xFFFF) as u16
    }
}

/// Most that is counted in a recovery.
const MAX_COUNT: u32 = (1 << 24) - 1;

fn counts(raw: u64, round: u16) -> Option<(u32, u32)> {
    let part = |raw: u64| (raw & u64::from(MAX_COUNT)) as u32;
    (raw >> 48 == u64::from(round)).then(|| (part(raw >> 24), part(raw)))
}

fn join(round: u16, passed: u32, other: u32) -> u64 {
    u64::from(round) << 48 | u64::from(passed.min(MAX_COUNT)) << 24 | u64::from(other.min(MAX_COUNT))
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::mock::Host;

    use super::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn timing(recovery: Recovery) -> Timing {
        Timing { open: 10 * S, factor: 1.0, ceiling: 10 * S, jitter: 0.0, recovery, recovery_time: 10 * S }
    }

    fn ignore(_: Phase) {}

    fn admit(machine: &Machine, now: Duration) -> Admission {
        machine.admit("k", now, &mut ignore)
    }

    #[test]
    fn traefiks_states_follow_its_times() {
        let _host = Host::new();
        let machine = Machine::open(timing(Recovery::Ramp)).unwrap();
        assert_eq!(admit(&machine, S), Admission::Pass);
        assert_eq!(machine.trip("k", S, 0.5), Some(10 * S));
        assert_eq!(machine.trip("k", S, 0.5), None, "it is open already");
        assert_eq!(admit(&machine, 11 * S - MS), Admission::Refuse { retry_in: MS });

        let mut seen = Vec::new();
        let first = machine.admit("k", 11 * S, &mut |phase| seen.push(phase));
        assert!(matches!(first, Admission::Refuse { .. }), "nothing of the time is over, so nothing may pass");
        assert_eq!(seen, [Phase::Recovering]);
        assert!(matches!(admit(&machine, 21 * S), Admission::Refuse { .. } | Admission::Pass));
        assert_eq!(machine.admit("k", 21 * S + MS, &mut |phase| seen.push(phase)), Admission::Pass);
        assert_eq!(seen, [Phase::Recovering, Phase::Closed]);
        assert!(machine.is_closed("k") && machine.is_closed("other"));
    }

    #[test]
    fn the_share_that_passes_rises_to_a_half() {
        let _host = Host::new();
        let machine = Machine::open(timing(Recovery::Ramp)).unwrap();
        machine.trip("k", Duration::ZERO, 0.0).unwrap();
        let mut passed = [0_u32; 10];
        for step in 0..1_000_u32 {
            let now = 10 * S + 10 * MS * step;
            let tenth = passed.get_mut(step as usize / 100).unwrap();
            *tenth += u32::from(admit(&machine, now) == Admission::Pass);
        }
        // All that passed stays below half of the time's share, and follows it closely.
        let mut total = 0;
        for (tenth, count) in passed.iter().enumerate() {
            total += count;
            let (end, asked) = (tenth as f64 / 10.0 + 0.1, tenth as f64 * 100.0 + 100.0);
            assert!(f64::from(total) / asked < 0.5 * end, "{passed:?}");
            assert!(f64::from(total) / asked > 0.5 * end - 0.03, "{passed:?}");
        }
    }

    #[test]
    fn it_may_trip_again_while_it_recovers_and_stays_open_longer() {
        let _host = Host::new();
        let times = Timing { factor: 2.0, ceiling: 35 * S, ..timing(Recovery::Ramp) };
        let machine = Machine::open(times).unwrap();
        let mut now = Duration::ZERO;
        let mut opened = Vec::new();
        for _ in 0..4 {
            let open = machine.trip("k", now, 0.0).unwrap();
            opened.push(open.as_secs());
            now += open;
            admit(&machine, now);
        }
        assert_eq!(opened, [10, 20, 35, 35]);
        assert_eq!(admit(&machine, now + 11 * S), Admission::Pass);
        assert_eq!(machine.trip("k", now + 11 * S, 0.0), Some(10 * S), "closing ends the growth");
    }

    #[test]
    fn jitter_takes_off_and_never_adds() {
        let _host = Host::new();
        let machine = Machine::open(Timing { jitter: 0.5, ..timing(Recovery::Ramp) }).unwrap();
        assert_eq!(machine.trip("a", S, 0.0), Some(10 * S));
        assert_eq!(machine.trip("b", S, 0.5), Some(7 * S + 500 * MS));
        assert_eq!(machine.trip("c", S, 1.0), Some(5 * S));
    }

    #[test]
    fn probes_close_it_when_all_succeed() {
        let _host = Host::new();
        let machine = Machine::open(timing(Recovery::Probes(2))).unwrap();
        machine.trip("k", Duration::ZERO, 0.0).unwrap();
        let Admission::Probe(round) = admit(&machine, 10 * S) else { unreachable!("a probe") };
        assert_eq!(admit(&machine, 10 * S), Admission::Probe(round));
        assert_eq!(admit(&machine, 10 * S), Admission::Refuse { retry_in: Duration::ZERO });
        assert!(!machine.probe_succeeded("k", round));
        assert!(machine.probe_succeeded("k", round));
        assert!(machine.is_closed("k"));
    }

    #[test]
    fn probes_that_do_not_come_back_are_replaced() {
        let _host = Host::new();
        let machine = Machine::open(timing(Recovery::Probes(1))).unwrap();
        machine.trip("k", Duration::ZERO, 0.0).unwrap();
        let Admission::Probe(lost) = admit(&machine, 10 * S) else { unreachable!("a probe") };
        assert_eq!(admit(&machine, 20 * S), Admission::Refuse { retry_in: Duration::ZERO });
        let Admission::Probe(round) = admit(&machine, 20 * S + MS) else { unreachable!("a probe") };
        assert_ne!(lost, round);
        assert!(!machine.probe_succeeded("k", lost), "it is of a round that is over");
        assert!(machine.probe_succeeded("k", round));
    }

    #[test]
    fn numbers_survive_being_written() {
        for phase in [Phase::Open, Phase::Recovering] {
            let word = Word { phase, trips: 63, until_us: MAX_US };
            assert_eq!(Word::read(word.write()), word);
        }
        assert_eq!(counts(join(7, 3, 4), 7), Some((3, 4)));
        assert_eq!(counts(join(7, 3, 4), 8), None);
        assert_eq!(counts(join(0, u32::MAX, 1), 0), Some((MAX_COUNT, 1)));
    }
}
