//! What becomes of a request: let in, or refused.

use sluice_plugin_sdk::policy::state::{Entered, Forced, Gate, GateSpec, forced};
use sluice_plugin_sdk::policy::system::{Pressure, pressure};
use sluice_plugin_sdk::policy::{Fields, Outcome, Reply, Subscription, Verdict, clock, exchange, random};

use crate::capacity::Capacity;
use crate::settings::{Guard, Priority, Settings};

/// A checked limit with its gate.
pub(crate) struct Limiter {
    settings: Settings,
    gate: Option<Gate>,
    /// What the machine can do, and how much it does, where the guard looks at that.
    capacity: Option<(Capacity, Gate)>,
    buffer: String,
}

impl Limiter {
    /// Opens the gate in the host.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let gate = settings.gate.as_ref().map(|spec| Gate::open("in-flight", spec)).transpose()?;
        let all = || Gate::open("all", &GateSpec::fixed(u32::MAX));
        let capacity = match &settings.guard {
            Some(Guard { bbr: true, .. }) => Some((Capacity::open()?, all()?)),
            _ => None,
        };
        Ok(Self { settings, gate, capacity, buffer: String::new() })
    }

    /// Nothing where there is no limit.
    pub(crate) fn subscription(&self) -> Subscription {
        if self.gate.is_none() && self.settings.guard.is_none() {
            return Subscription::new();
        }
        let priority = self.settings.priority.iter().flat_map(|priority| priority.by.fields());
        let wanted = Subscription::new().on_request(self.settings.source.fields().chain(priority));
        if self.capacity.is_some() { wanted.on_complete() } else { wanted }
    }

    /// Enters the gate of the request's source, unless it is shed before.
    pub(crate) fn decide(&mut self, fields: &Fields) -> Verdict {
        match forced() {
            None => {}
            Some(Forced::Open) => return Verdict::Respond(self.refusal(0)),
            Some(Forced::Closed | Forced::Disabled) => return Verdict::next(),
        }
        let priority = self.priority(fields);
        let under_way = self.capacity.as_ref().map_or(0, |(_, all)| all.enter("", 0).in_flight);
        let over = self.settings.guard.as_ref().map_or(0.0, |guard| guard.excess(&pressure()));
        if over > 0.0 && self.sheds(over, priority, under_way) {
            return self.refuse("overload", Reply::text(503, "Service Unavailable").with_header("Retry-After", "1"));
        }
        let Some(gate) = self.gate else { return Verdict::next() };
        let key = self.settings.source.state_key(fields, 0, &mut self.buffer);
        let Entered { granted, limit, .. } = gate.enter(key, priority);
        if granted { Verdict::next() } else { self.refuse("limit", self.refusal(limit)) }
    }

    /// An exchange that was let in has ended.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        let succeeded = outcome.failure.is_none() && outcome.status < 500;
        if let Some((capacity, _)) = self.capacity.as_ref().filter(|_| succeeded) {
            capacity.note(clock::now(), outcome.duration());
        }
    }

    /// Whether a request is too much for a machine that is that far beyond its limits.
    fn sheds(&mut self, over: f64, priority: u8, under_way: u32) -> bool {
        let classes = self.settings.priority.as_ref().map_or(1, |priority| priority.classes.len());
        match &mut self.capacity {
            // Each class may fill its part of what the machine can do; one of the most important can always be tried.
            Some((capacity, _)) => {
                let most = capacity.under_way(clock::now()).unwrap_or_default();
                let served = (classes as u64).saturating_sub(priority.into());
                u64::from(under_way) > (most * served / classes as u64).max(u64::from(priority == 0))
            }
            None if classes == 1 => random::unit() < over,
            None => priority > lowest_served(classes, over),
        }
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
    /// How far the machine is beyond its limits: 0 within them, 1 where nothing is left.
    fn excess(&self, pressure: &Pressure) -> f64 {
        let over =
            |value: f64, limit: Option<f64>| limit.map_or(0.0, |limit| ((value - limit) / (1.0 - limit)).max(0.0));
        let cpu = over(f64::from(pressure.cpu_permille) / 1000.0, self.cpu);
        let memory = over(f64::from(pressure.memory_permille) / 1000.0, self.memory);
        #[expect(clippy::cast_precision_loss, reason = "a time, for comparison")]
        let lag = self.loop_lag.map_or(0.0, |limit| {
            // Five times the limit is as bad as it gets.
            (pressure.loop_lag_ns as f64 / limit.as_nanos() as f64 - 1.0).max(0.0) / 4.0
        });
        cpu.max(memory).max(lag).min(1.0)
    }
}

/// The least important of several classes that is served. The further the machine is beyond its limits, the more are
/// shed, and never the most important one.
fn lowest_served(classes: usize, over: f64) -> u8 {
    let last = classes.saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most 256"
    )]
    let shed = 1 + (over * last as f64) as usize;
    u8::try_from(last.saturating_sub(shed)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn served(guard: &Guard, cpu: u32, lag_ms: u64) -> u8 {
        let pressure = Pressure { cpu_permille: cpu, memory_permille: 0, loop_lag_ns: lag_ms * 1_000_000 };
        match guard.excess(&pressure) {
            over if over > 0.0 => lowest_served(3, over),
            _ => 2,
        }
    }

    #[test]
    fn the_least_important_classes_go_first() {
        let guard = Guard { cpu: Some(0.8), memory: None, loop_lag: Some(Duration::from_millis(10)), bbr: false };
        assert_eq!([served(&guard, 0, 0), served(&guard, 800, 10)], [2, 2]);
        assert_eq!([served(&guard, 810, 0), served(&guard, 899, 0)], [1, 1]);
        assert_eq!([served(&guard, 901, 0), served(&guard, 1000, 0)], [0, 0]);
        assert_eq!([served(&guard, 0, 15), served(&guard, 0, 1_000)], [1, 0]);
    }
}
