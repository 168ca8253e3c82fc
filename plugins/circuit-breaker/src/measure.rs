//! What has happened to the requests of a key, and whether that opens its breaker.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::{Cell, Window, WindowSpec};
use sluice_plugin_sdk::policy::{Failure, Outcome};
use sluice_policy_kit::expression::{Metric, Metrics};

use crate::settings::{Settings, Span, Trigger, Unanswered};

/// A status below 500 and one above stand for what succeeded and what did not, whatever the real ones were.
const GOOD: u16 = 200;
const BAD: u16 = 500;

/// How an exchange ended, as far as breakers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Success,
    Failure,
    /// It counts neither way.
    Ignored,
}

/// Everything measured for a policy.
#[derive(Debug)]
pub(crate) struct Measure {
    window: Window,
    /// Failures in a row, or the last calls as bits below a highest one.
    row: Cell,
    /// The microsecond from which a key may be looked at again.
    next_check: Cell,
}

impl Measure {
    pub(crate) fn open(settings: &Settings) -> Result<Self, String> {
        let span = match settings.span {
            Span::Time(span) => span,
            Span::Calls(_) => Duration::from_secs(10),
        };
        let spec = WindowSpec::new(10, span / 10).with_slow(settings.slower_than);
        let needs_latency = matches!(&settings.trigger, Trigger::Expression(expression) if expression.needs_latency());
        let spec = if needs_latency { spec.with_latency() } else { spec };
        Ok(Self { window: Window::open("calls", spec)?, row: Cell::open("row")?, next_check: Cell::open("check")? })
    }

    /// Counts an exchange.
    pub(crate) fn observe(&self, key: &str, settings: &Settings, outcome: &Outcome) -> Class {
        let code = code(outcome);
        let class = classify(settings, outcome, code);
        if class == Class::Ignored {
            return class;
        }
        let failed = class == Class::Failure;
        let counted = if failed { BAD } else { GOOD };
        match (&settings.trigger, settings.span) {
            (Trigger::Expression(_), _) => {
                let network = matches!(code, 502 | 504).then_some(Failure::Connect);
                self.window.observe(key, code, network, outcome.duration());
            }
            (Trigger::Consecutive(_), _) if failed => {
                self.row.add(key, 1);
            }
            (Trigger::Consecutive(_), _) => self.change_row(key, |_| 0),
            (trigger, Span::Calls(calls)) => {
                let slow = matches!(trigger, Trigger::SlowRatio(_));
                let bit = if slow { outcome.duration() > settings.slower_than } else { failed };
                self.change_row(key, |row| push(row, bit, calls));
            }
            (_, Span::Time(_)) => self.window.observe(key, counted, None, outcome.duration()),
        }
        if settings.soft.is_some() && matches!(settings.trigger, Trigger::Consecutive(_)) {
            self.window.observe(key, counted, None, outcome.duration());
        }
        class
    }

    /// Why the breaker of a key should open, if it should.
    pub(crate) fn verdict(&self, key: &str, settings: &Settings) -> Option<String> {
        let minimum = settings.minimum_calls;
        let above = |count: u64, requests: u64, limit: f64, what: &str| {
            let ratio = ratio(count, requests);
            let opens = requests >= minimum.max(1) && ratio > limit;
            opens.then(|| format!("{count} of {requests} calls {what}, {ratio:.3} > {limit}"))
        };
        match (&settings.trigger, settings.span) {
            (Trigger::Expression(expression), _) => {
                let measured = Measured { window: self.window, key };
                let enough = minimum == 0 || self.window.totals(key).requests >= minimum;
                (enough && expression.holds(&measured)).then(|| expression.reason(&measured))
            }
            (Trigger::Consecutive(limit), _) => {
                let row = self.row.load(key);
                (row >= *limit).then(|| format!("{row} failures in a row"))
            }
            (trigger, Span::Calls(_)) => {
                let (bits, calls) = bits(self.row.load(key));
                match trigger {
                    Trigger::ErrorCount(limit) => {
                        let opens = calls >= minimum && bits > *limit;
                        opens.then(|| format!("{bits} of the last {calls} calls failed, {bits} > {limit}"))
                    }
                    Trigger::SlowRatio(limit) => above(bits, calls, *limit, "were slow"),
                    Trigger::ErrorRatio(limit) => above(bits, calls, *limit, "failed"),
                    Trigger::Expression(_) | Trigger::Consecutive(_) => None,
                }
            }
            (trigger, Span::Time(_)) => {
                let totals = self.window.totals(key);
                match trigger {
                    Trigger::ErrorCount(limit) => {
                        let opens = totals.requests >= minimum && totals.errors > *limit;
                        opens.then(|| format!("{} calls failed, more than {limit}", totals.errors))
                    }
                    Trigger::SlowRatio(limit) => above(totals.slow, totals.requests, *limit, "were slow"),
                    Trigger::ErrorRatio(limit) => above(totals.errors, totals.requests, *limit, "failed"),
                    Trigger::Expression(_) | Trigger::Consecutive(_) => None,
                }
            }
        }
    }

    /// The share of requests that soft mode refuses: those beyond `factor` for each success.
    pub(crate) fn excess(&self, key: &str, factor: f64) -> f64 {
        let totals = self.window.totals(key);
        let (requests, accepted) = (float(totals.requests), float(totals.requests.saturating_sub(totals.errors)));
        ((requests - factor * accepted) / (requests + 1.0)).max(0.0)
    }

    /// A request that soft mode has refused is a request without success.
    pub(crate) fn refused_softly(&self, key: &str) {
        self.window.observe(key, BAD, None, Duration::ZERO);
    }

    /// Nothing has happened yet, as far as the breaker goes.
    pub(crate) fn forget(&self, key: &str) {
        self.window.forget(key);
        self.change_row(key, |_| 0);
    }

    /// Whether it is time to look at a key again. Of all who ask, one is told so; the others, from when on it will be.
    pub(crate) fn check_due(&self, key: &str, now: Duration, period: Duration) -> Result<(), Duration> {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let due = self.next_check.load(key);
        if microseconds(now) < due {
            return Err(Duration::from_micros(due));
        }
        let next = microseconds(now + period);
        self.next_check.swap_if(key, due, next).map_err(Duration::from_micros)
    }

    fn change_row(&self, key: &str, change: impl Fn(u64) -> u64) {
        let mut row = self.row.load(key);
        while change(row) != row {
            match self.row.swap_if(key, row, change(row)) {
                Ok(()) => return,
                Err(other) => row = other,
            }
        }
    }
}

/// The status the breaker judges by: what came from below it.
fn code(outcome: &Outcome) -> u16 {
    outcome.upstream_status.filter(|_| !outcome.rerouted).unwrap_or(outcome.status)
}

fn classify(settings: &Settings, outcome: &Outcome, code: u16) -> Class {
    if matches!(settings.trigger, Trigger::Expression(_)) {
        // As Traefik does it; probes succeed unless the expression would call them a failure of the server.
        return if code >= 500 { Class::Failure } else { Class::Success };
    }
    let of_grpc = || outcome.grpc_status.is_some_and(|code| settings.grpc_failures.contains(code));
    match outcome.failure {
        // Whoever has read a part of the answer knows what it was.
        Some(Failure::Client) if outcome.upstream_status.is_none() => Class::Ignored,
        Some(failure) if failure != Failure::Client => match settings.ignored_failures.contains(&unanswered(failure)) {
            true => Class::Ignored,
            false => Class::Failure,
        },
        _ if settings.ignored.contains(code) => Class::Ignored,
        _ if settings.failures.contains(code) || of_grpc() => Class::Failure,
        _ => Class::Success,
    }
}

/// As settings name it.
fn unanswered(failure: Failure) -> Unanswered {
    match failure {
        Failure::Connect => Unanswered::Connect,
        Failure::Timeout => Unanswered::Timeout,
        Failure::Protocol | Failure::Client => Unanswered::Protocol,
        Failure::NoInstance => Unanswered::NoInstance,
    }
}

/// Puts a call below the others; of more than `calls`, the oldest goes.
fn push(row: u64, bit: bool, calls: u32) -> u64 {
    let row = row.max(1) << 1 | u64::from(bit);
    let highest = 1 << calls;
    if row >= highest << 1 { row & (highest - 1) | highest } else { row }
}

/// How many calls are marked, and how many there are.
fn bits(row: u64) -> (u64, u64) {
    match row.checked_ilog2() {
        None => (0, 0),
        Some(calls) => (u64::from(row.count_ones()) - 1, u64::from(calls)),
    }
}

fn ratio(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { float(count) / float(of) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests within minutes")]
fn float(count: u64) -> f64 {
    count as f64
}

struct Measured<'a> {
    window: Window,
    key: &'a str,
}

impl Metrics for Measured<'_> {
    fn value(&self, metric: &Metric) -> f64 {
        match metric {
            Metric::NetworkErrorRatio => self.window.network_error_ratio(self.key),
            Metric::ResponseCodeRatio(codes, of) => self.window.code_ratio(self.key, codes.clone(), of.clone()),
            Metric::LatencyAtQuantileMs(quantile) => float(self.window.latency_quantile_ms(self.key, *quantile)),
            Metric::RequestThreshold => float(self.window.totals(self.key).requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_bits() {
        let mut row = 0;
        assert_eq!(bits(row), (0, 0));
        for (bit, expected) in [(true, (1, 1)), (false, (1, 2)), (true, (2, 3)), (true, (2, 3)), (false, (2, 3))] {
            row = push(row, bit, 3);
            assert_eq!(bits(row), expected);
        }
        let mut row = 0;
        for _ in 0..200 {
            row = push(row, true, 63);
        }
        assert_eq!(bits(row), (63, 63));
    }
}
