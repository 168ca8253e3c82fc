//! Warming up, as Sentinel does it: a key that has not been used for a while is cold and gets a part of its rate, which
//! grows to all of it while requests come.
//!
//! A key stores tokens while it is idle. The more are stored, the more a request costs; those it takes are gone.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::Cell;

use crate::settings::Rate;

/// What a request costs when warm; fractions of it can be asked for.
pub(crate) const WARM_COST: u32 = 1_000;

/// How warm each key is.
#[derive(Clone, Debug)]
pub(crate) struct WarmUp {
    /// The second it was looked at last, and what was stored then in thousandths.
    stored: Cell,
    /// The second something passed last, and how much did in it.
    passed: Cell,
    curve: Curve,
}

/// What depends on the settings alone.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    /// Requests a second when warm.
    rate: f64,
    cold_rate: f64,
    /// With more stored than this it is cold.
    warning: f64,
    max: f64,
    slope: f64,
}

impl Curve {
    fn new(rate: &Rate, time: Duration, cold_factor: u32) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let per_second = rate.average as f64 / rate.period.as_secs_f64();
        let (cold, time) = (f64::from(cold_factor), time.as_secs_f64());
        let warning = time * per_second / (cold - 1.0);
        let max = warning + 2.0 * time * per_second / (1.0 + cold);
        let slope = (cold - 1.0) / per_second / (max - warning);
        Self { rate: per_second, cold_rate: per_second / cold, warning, max, slope }
    }

    /// What is stored after some seconds, in the last of which so many passed.
    fn refill(&self, stored: f64, seconds: f64, passed: f64) -> f64 {
        let gains = stored < self.warning || stored > self.warning && passed < self.cold_rate;
        let gained = if gains { stored + seconds * self.rate } else { stored };
        (gained.min(self.max) - passed).max(0.0)
    }

    /// By what a request costs more than when warm.
    fn factor(&self, stored: f64) -> f64 {
        1.0 + (stored - self.warning).max(0.0) * self.slope * self.rate
    }
}

impl WarmUp {
    pub(crate) fn open(rate: &Rate, time: Duration, cold_factor: u32) -> Result<Self, String> {
        let curve = Curve::new(rate, time, cold_factor);
        Ok(Self { stored: Cell::open("stored")?, passed: Cell::open("passed")?, curve })
    }

    /// What a request costs now.
    pub(crate) fn cost(&self, key: &str, now: Duration) -> u32 {
        let second = now.as_secs() + 1;
        let raw = self.stored.load(key);
        let (before, stored) = (raw >> 32, f64::from(low(raw)) / 1000.0);
        let mut stored = if raw == 0 { self.curve.max } else { stored };
        if second > before {
            let passed = self.passed.load(key);
            let passed = if passed >> 32 == second - 1 { f64::from(low(passed)) } else { 0.0 };
            if raw != 0 {
                #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
                let seconds = (second - before) as f64;
                stored = self.curve.refill(stored, seconds, passed);
            }
            // Another worker that does the same comes to the same.
            let _ = self.stored.swap_if(key, raw, second << 32 | u64::from(thousandths(stored)));
        }
        thousandths(self.curve.factor(stored)).max(WARM_COST)
    }

    /// A request has passed.
    pub(crate) fn passed(&self, key: &str, now: Duration) {
        let second = now.as_secs() + 1;
        let mut raw = self.passed.load(key);
        loop {
            let count = if raw >> 32 == second { low(raw) } else { 0 };
            match self.passed.swap_if(key, raw, second << 32 | u64::from(count.saturating_add(1))) {
                Ok(()) => return,
                Err(other) => raw = other,
            }
        }
    }
}

fn low(raw: u64) -> u32 {
    u32::try_from(raw & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn thousandths(value: f64) -> u32 {
    (value * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_goes_from_the_cold_factor_to_one() {
        let rate = Rate { average: 100, period: Duration::from_secs(1), burst: 1 };
        let curve = Curve::new(&rate, Duration::from_secs(10), 3);
        // As in Sentinel: warning 500, max 1000.
        assert!((curve.warning - 500.0).abs() < 1e-9 && (curve.max - 1000.0).abs() < 1e-9);
        assert!((curve.factor(1000.0) - 3.0).abs() < 1e-9);
        assert!((curve.factor(750.0) - 2.0).abs() < 1e-9);
        assert!((curve.factor(500.0) - 1.0).abs() < 1e-9 && (curve.factor(0.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn it_is_stored_while_idle_and_spent_while_used() {
        let rate = Rate { average: 100, period: Duration::from_secs(1), burst: 1 };
        let curve = Curve::new(&rate, Duration::from_secs(10), 3);
        assert!((curve.refill(1000.0, 1.0, 40.0) - 960.0).abs() < 1e-9, "above the warning nothing is gained in use");
        assert!((curve.refill(900.0, 2.0, 10.0) - 990.0).abs() < 1e-9, "hardly used it cools down");
        assert!((curve.refill(300.0, 1.0, 100.0) - 300.0).abs() < 1e-9, "at its rate it stays warm");
    }
}
