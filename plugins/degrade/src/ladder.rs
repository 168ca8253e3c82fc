//! Levels of overload, 0 to 3: up at once, and down one at a time when the machine has been better for a while.

use std::time::Duration;

use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::clock;
use sluice_plugin_sdk::policy::state::Cell;
use sluice_plugin_sdk::policy::system::{Pressure, pressure};

/// A level is left when the pressure is below this share of what led to it.
const BETTER: f64 = 0.9;
/// The host's measure of pressure is that old at most.
const PERIOD: Duration = Duration::from_millis(250);

/// From where on each level is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps {
    pub(crate) cpu: Vec<f64>,
    pub(crate) memory: Vec<f64>,
    pub(crate) loop_lag: Vec<Duration>,
    /// So long it has to be better before a level is left.
    pub(crate) hold: Duration,
}

/// Where the machine stands, one truth for all workers: the level in two bits, and above them the millisecond from which
/// it may be left.
#[derive(Debug)]
pub(crate) struct Ladder {
    steps: Steps,
    level: Cell,
    /// What was found last, and until when that is good enough.
    known: (u8, Duration),
}

impl Ladder {
    pub(crate) fn open(steps: Steps) -> Result<Self, String> {
        Ok(Self { steps, level: Cell::open("level")?, known: (0, Duration::ZERO) })
    }

    pub(crate) fn level(&mut self) -> u8 {
        let now = clock::now();
        if now >= self.known.1 {
            self.known = (self.find(now), now + PERIOD);
        }
        self.known.0
    }

    fn find(&self, now: Duration) -> u8 {
        let pressure = pressure();
        let (reached, held) = (self.steps.reached(&pressure, 1.0), self.steps.reached(&pressure, BETTER));
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let hold_ms = u64::try_from(self.steps.hold.as_millis()).unwrap_or(u64::MAX);
        let mut raw = self.level.load("");
        loop {
            let (level, until_ms) = ((raw & 3) as u8, raw >> 2);
            let next = match level {
                _ if reached > level => reached,
                0 => return 0,
                _ if held >= level => level,
                _ if now_ms < until_ms => return level,
                _ => level - 1,
            };
            let new = now_ms.saturating_add(hold_ms) << 2 | u64::from(next);
            match self.level.swap_if("", raw, new) {
                Ok(()) if next != level => {
                    log::warn(&format!("degradation level {next}, after {level}: {}", shown(&pressure)));
                    return next;
                }
                Ok(()) => return next,
                Err(other) => raw = other,
            }
        }
    }
}

impl Steps {
    /// The highest level the pressure reaches, when it takes that share of the limits.
    fn reached(&self, pressure: &Pressure, share: f64) -> u8 {
        let highest = |value: f64, limits: &mut dyn Iterator<Item = f64>| {
            limits.zip(1_u8..).filter(|(limit, _)| value >= limit * share).map(|(_, level)| level).max().unwrap_or(0)
        };
        let cpu = highest(f64::from(pressure.cpu_permille) / 1000.0, &mut self.cpu.iter().copied());
        let memory = highest(f64::from(pressure.memory_permille) / 1000.0, &mut self.memory.iter().copied());
        let lag = Duration::from_nanos(pressure.loop_lag_ns).as_secs_f64();
        let lag = highest(lag, &mut self.loop_lag.iter().map(Duration::as_secs_f64));
        cpu.max(memory).max(lag)
    }
}

fn shown(pressure: &Pressure) -> String {
    let Pressure { cpu_permille, memory_permille, loop_lag_ns } = pressure;
    format!(
        "processors at {}.{}%, memory at {}.{}%, timers late by {} ms",
        cpu_permille / 10,
        cpu_permille % 10,
        memory_permille / 10,
        memory_permille % 10,
        loop_lag_ns / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::mock::Host;

    use super::*;

    #[test]
    fn it_goes_up_at_once_and_down_slowly() {
        let host = Host::new();
        let steps =
            Steps { cpu: vec![0.7, 0.8, 0.9], memory: vec![0.95], loop_lag: vec![], hold: Duration::from_secs(10) };
        let mut ladder = Ladder::open(steps).unwrap();
        let mut level = |seconds: u64, cpu_permille, memory_permille| {
            host.set_pressure(Pressure { cpu_permille, memory_permille, loop_lag_ns: 0 });
            host.advance(Duration::from_secs(seconds));
            ladder.level()
        };
        assert_eq!(level(1, 500, 0), 0);
        assert_eq!(level(1, 910, 0), 3);
        // Above nine tenths of the limit it stays, however long.
        assert_eq!(level(60, 820, 0), 3);
        assert_eq!([level(5, 100, 0), level(4, 100, 0)], [3, 3]);
        assert_eq!([level(1, 100, 0), level(9, 100, 0), level(1, 100, 0)], [2, 2, 1]);
        assert_eq!(level(1, 100, 960), 1, "memory reaches the first level only");
        assert_eq!(level(1, 850, 0), 2);
        assert_eq!([level(10, 0, 0), level(10, 0, 0), level(10, 0, 0)], [1, 0, 0]);
    }
}
