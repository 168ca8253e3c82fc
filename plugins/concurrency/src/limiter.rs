//! What becomes of a request: let in, or refused.

use sluice_plugin_sdk::policy::state::{Entered, Forced, Gate, forced};
use sluice_plugin_sdk::policy::system::{Pressure, pressure};
use sluice_plugin_sdk::policy::{Fields, Reply, Subscription, Verdict, exchange};

use crate::settings::{Guard, Priority, Settings};

/// A checked limit with its gate.
pub(crate) struct Limiter {
    settings: Settings,
    gate: Option<Gate>,
    buffer: String,
}

impl Limiter {
    /// Opens the gate in the host.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let gate = settings.gate.as_ref().map(|spec| Gate::open("in-flight", spec)).transpose()?;
        Ok(Self { settings, gate, buffer: String::new() })
    }

    /// Nothing where there is no limit.
    pub(crate) fn subscription(&self) -> Subscription {
        if self.gate.is_none() && self.settings.guard.is_none() {
            return Subscription::new();
        }
        let priority = self.settings.priority.iter().flat_map(|priority| priority.by.fields());
        Subscription::new().on_request(self.settings.source.fields().chain(priority))
    }

    /// Enters the gate of the request's source, unless it is shed before.
    pub(crate) fn decide(&mut self, fields: &Fields) -> Verdict {
        match forced() {
            None => {}
            Some(Forced::Open) => return Verdict::Respond(self.refusal(0)),
            Some(Forced::Closed | Forced::Disabled) => return Verdict::next(),
        }
        let priority = self.priority(fields);
        if let Some(guard) = &self.settings.guard
            && priority > guard.lowest_served(self.classes(), &pressure())
        {
            return self.refuse("overload", Reply::text(503, "Service Unavailable").with_header("Retry-After", "1"));
        }
        let Some(gate) = self.gate else { return Verdict::next() };
        let key = self.settings.source.key(fields, 0, &mut self.buffer);
        let Entered { granted, limit, .. } = gate.enter(key, priority);
        if granted { Verdict::next() } else { self.refuse("limit", self.refusal(limit)) }
    }

    fn refusal(&self, limit: u32) -> Reply {
        Reply::text(self.settings.status, format!("max connections reached: {limit}"))
    }

    fn refuse(&self, why: &str, reply: Reply) -> Verdict {
        if self.settings.shadow {
            exchange::annotate("concurrency", &format!("would refuse: {why}"));
            return Verdict::next();
        }
        exchange::annotate("concurrency", why);
        Verdict::Respond(reply)
    }

    fn classes(&self) -> usize {
        self.settings.priority.as_ref().map_or(1, |priority| priority.classes.len())
    }

    /// 0 is the most important.
    fn priority(&self, fields: &Fields) -> u8 {
        let Some(Priority { by, classes, default }) = &self.settings.priority else { return 0 };
        let mut buffer = String::new();
        let value = by.key(fields, self.settings.source.count(), &mut buffer);
        let place = classes.iter().position(|class| class == value);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(*default)
    }
}

impl Guard {
    /// The least important class that is served under a pressure. The further it is above a limit, the more classes are
    /// shed, and the most important one only when nothing is left.
    fn lowest_served(&self, classes: usize, pressure: &Pressure) -> u8 {
        let over =
            |value: f64, limit: Option<f64>| limit.map_or(0.0, |limit| ((value - limit) / (1.0 - limit)).max(0.0));
        let cpu = over(f64::from(pressure.cpu_permille) / 1000.0, self.cpu);
        let memory = over(f64::from(pressure.memory_permille) / 1000.0, self.memory);
        #[expect(clippy::cast_precision_loss, reason = "a time, for comparison")]
        let lag = self.loop_lag.map_or(0.0, |limit| {
            // Five times the limit is as bad as it gets.
            (pressure.loop_lag_ns as f64 / limit.as_nanos() as f64 - 1.0).max(0.0) / 4.0
        });
        let over = cpu.max(memory).max(lag);
        let last = classes.saturating_sub(1);
        if over <= 0.0 {
            return u8::try_from(last).unwrap_or(u8::MAX);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "at most 256"
        )]
        let shed = 1 + (over.min(1.0) * last as f64) as usize;
        u8::try_from(last.saturating_sub(shed)).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn served(guard: &Guard, cpu: u32, lag_ms: u64) -> u8 {
        let pressure = Pressure { cpu_permille: cpu, memory_permille: 0, loop_lag_ns: lag_ms * 1_000_000 };
        guard.lowest_served(3, &pressure)
    }

    #[test]
    fn the_least_important_classes_go_first() {
        let guard = Guard { cpu: Some(0.8), memory: None, loop_lag: Some(Duration::from_millis(10)) };
        assert_eq!([served(&guard, 0, 0), served(&guard, 800, 10)], [2, 2]);
        assert_eq!([served(&guard, 810, 0), served(&guard, 899, 0)], [1, 1]);
        assert_eq!([served(&guard, 901, 0), served(&guard, 1000, 0)], [0, 0]);
        assert_eq!([served(&guard, 0, 15), served(&guard, 0, 1_000)], [1, 0]);
    }
}
