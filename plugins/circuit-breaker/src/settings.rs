//! What an operator can set, as it arrives and as the breaker wants it.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use sluice_plugin_sdk::policy::Field;
use sluice_policy_kit::expression::Expression;
use sluice_policy_kit::grpc::GrpcCodes;
use sluice_policy_kit::source::{RawSource, Source};
use sluice_policy_kit::status::Statuses;
use sluice_policy_kit::values::{List, Number, Period, Real, Switch};

use crate::machine::{Recovery, Timing};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// What opens the breaker: `expression`, `error-ratio`, `slow-ratio`, `error-count` or `consecutive`.
    mode: Option<Mode>,
    /// Traefik's, such as `NetworkErrorRatio() > 0.5`.
    expression: Option<String>,
    /// For the other modes: the ratio, or the number of failures, above which it opens. A `consecutive` one opens at it.
    threshold: Option<Real>,
    /// Fewer calls within the window never open it.
    minimum_calls: Option<Number>,
    /// How far the ratios and counts look back.
    window: Option<Period>,
    /// The same as a number of calls, at most 63.
    window_calls: Option<Number>,
    /// What counts as slow.
    slower_than: Option<Period>,
    /// Statuses that are failures, `500-599` by default. No answer at all is one, too.
    failures: Option<Statuses>,
    /// gRPC codes that are failures, by number or name, such as `UNAVAILABLE, 13`; none where nothing is said.
    grpc_failures: GrpcCodes,
    /// Statuses that count neither way.
    ignored: Statuses,
    /// Failures to answer that count neither way: `connect`, `timeout`, `protocol`, `no-instance`.
    ignored_failures: List,
    /// So many requests at once for each breaker; more are answered as if it were open.
    max_in_flight: Option<Number>,
    /// What has a breaker of its own: `route`, `service`, `instance`, or anything requests can be counted by.
    scope: Option<RawScope>,
    /// Failures are looked at this often.
    #[serde(alias = "checkperiod")]
    check_period: Option<Period>,
    /// How long it is open.
    #[serde(alias = "fallbackduration", alias = "open-duration")]
    fallback_duration: Option<Period>,
    /// By what that grows each time it opens again at once; 1 by default.
    open_factor: Option<Real>,
    /// The longest it grows to; five minutes by default.
    open_ceiling: Option<Period>,
    /// The share of that time that is left to chance, 0 to 1.
    open_jitter: Option<Real>,
    #[serde(alias = "recoveryduration")]
    recovery_duration: Option<Period>,
    /// Recover by that many requests which have to succeed, instead of by a share that rises.
    probes: Option<Number>,
    /// Instead of opening, refuse requests at random, the more the fewer succeed: those beyond this many times the
    /// successes.
    soft: Option<Real>,
    /// Decide and report, and let everything pass.
    shadow: Option<Switch>,
    /// The status of refused requests.
    #[serde(alias = "responsecode")]
    response_code: Option<Number>,
    /// What refused requests are answered with.
    body: Option<String>,
    content_type: Option<String>,
    /// Tell refused clients when to come back.
    retry_after: Option<Switch>,
    /// The service that gets refused requests instead.
    fallback_service: Option<String>,
    /// With that path.
    fallback_path: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Expression,
    ErrorRatio,
    SlowRatio,
    ErrorCount,
    Consecutive,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    Connect,
    Timeout,
    Protocol,
    NoInstance,
}

/// What has a breaker of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whatever differs in these values.
    Source(Source),
    /// The instance that answered. It is left out of its service's turn while its breaker is open.
    Instance,
}

struct RawScope(Option<RawSource>);

/// What opens a breaker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trigger {
    Expression(Expression),
    /// The share of calls that fail, above which it opens.
    ErrorRatio(f64),
    SlowRatio(f64),
    ErrorCount(u64),
    /// That many failures with nothing else between them.
    Consecutive(u64),
}

/// How far back is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Time(Duration),
    Calls(u32),
}

/// What refused requests get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    Reply { status: u16, body: Option<String>, content_type: String },
    Service { name: String, path: Option<String> },
}

/// As the breaker wants it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) trigger: Trigger,
    pub(crate) span: Span,
    pub(crate) minimum_calls: u64,
    pub(crate) slower_than: Duration,
    pub(crate) failures: Statuses,
    pub(crate) grpc_failures: GrpcCodes,
    pub(crate) ignored: Statuses,
    pub(crate) ignored_failures: Vec<Unanswered>,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) scope: Scope,
    pub(crate) check_period: Duration,
    pub(crate) timing: Timing,
    pub(crate) soft: Option<f64>,
    pub(crate) shadow: bool,
    pub(crate) fallback: Fallback,
    pub(crate) retry_after: bool,
    /// For the log.
    pub(crate) notes: Vec<String>,
}

impl Settings {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let (trigger, notes) = trigger(&raw)?;
        let scope = match raw.scope.as_ref() {
            Some(RawScope(None)) => Scope::Instance,
            Some(RawScope(Some(source))) => {
                Scope::Source(Source::check(Some(source.clone()), None, Source::nothing())?)
            }
            None => Scope::Source(Source::field(Field::Route)),
        };
        let span = span(&raw, &trigger)?;
        let soft = raw.soft.map(|Real(factor)| factor);
        if soft.is_some_and(|factor| factor < 1.0) {
            return Err("`soft` is the number of requests for each success and has to be 1 or more".to_owned());
        }
        if soft.is_some() && scope == Scope::Instance {
            return Err(
                "`soft` refuses requests before an instance is chosen, so it has no `scope = \"instance\"`".to_owned()
            );
        }
        let max_in_flight = raw.max_in_flight.map(Number::clamped).filter(|most| *most > 0);
        if max_in_flight.is_some() && scope == Scope::Instance {
            return Err("`max-in-flight` of an instance is its service's `loadbalancer.maxrequests`".to_owned());
        }
        let is_traefiks = matches!(trigger, Trigger::Expression(_));
        if is_traefiks && (raw.grpc_failures != GrpcCodes::default() || !raw.ignored_failures.0.is_empty()) {
            return Err(
                "an `expression` says what a failure is; remove `grpc-failures` and `ignored-failures`".to_owned()
            );
        }
        Ok(Self {
            minimum_calls: raw.minimum_calls.map_or(if is_traefiks { 0 } else { 10 }, |calls| calls.0),
            slower_than: raw.slower_than.map_or(Duration::from_secs(1), |time| time.0),
            failures: match raw.failures.clone() {
                Some(failures) => failures,
                None => Statuses::parse(["500-599"])?,
            },
            check_period: raw.check_period.map_or(Duration::from_millis(100), |time| time.0),
            timing: timing(&raw)?,
            shadow: raw.shadow.is_some_and(|switch| switch.0),
            fallback: fallback(&raw)?,
            retry_after: raw.retry_after.is_some_and(|switch| switch.0),
            grpc_failures: raw.grpc_failures,
            ignored: raw.ignored,
            ignored_failures: raw.ignored_failures.0.iter().map(|name| unanswered(name)).collect::<Result<_, _>>()?,
            max_in_flight,
            trigger,
            span,
            scope,
            soft,
            notes,
        })
    }
}

fn unanswered(name: &str) -> Result<Unanswered, String> {
    Ok(match name {
        "connect" => Unanswered::Connect,
        "timeout" => Unanswered::Timeout,
        "protocol" => Unanswered::Protocol,
        "no-instance" => Unanswered::NoInstance,
        _ => {
            return Err(format!(
                "`ignored-failures` has `{name}`; there are `connect`, `timeout`, `protocol` and `no-instance`"
            ));
        }
    })
}

fn trigger(raw: &RawSettings) -> Result<(Trigger, Vec<String>), String> {
    let mode = match (raw.mode, &raw.expression) {
        (Some(mode), _) => mode,
        (None, Some(_)) => Mode::Expression,
        (None, None) => Mode::ErrorRatio,
    };
    if mode == Mode::Expression {
        let text = raw.expression.as_deref().ok_or("mode `expression` needs an `expression`")?;
        if raw.threshold.is_some() {
            return Err("`threshold` is for the other modes; an `expression` says its own".to_owned());
        }
        let (expression, notes) = Expression::parse(text)?;
        return Ok((Trigger::Expression(expression), notes));
    }
    if raw.expression.is_some() {
        return Err("`expression` is for mode `expression`; remove it or the `mode`".to_owned());
    }
    let ratio = || match raw.threshold.map_or(0.5, |threshold| threshold.0) {
        ratio if ratio < 1.0 => Ok(ratio),
        ratio => Err(format!("`threshold` is {ratio}; a ratio is never above 1, so write it as `0.5`")),
    };
    let count = |default: u64| match raw.threshold.map(|threshold| threshold.0) {
        None => Ok(default),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a small whole number"
        )]
        Some(count) if count.fract() == 0.0 && (1.0..1e9).contains(&count) => Ok(count as u64),
        Some(count) => Err(format!("`threshold` is {count} and has to be a number of failures")),
    };
    let trigger = match mode {
        Mode::ErrorRatio => Trigger::ErrorRatio(ratio()?),
        Mode::SlowRatio => Trigger::SlowRatio(ratio()?),
        Mode::ErrorCount => Trigger::ErrorCount(count(10)?),
        Mode::Consecutive | Mode::Expression => Trigger::Consecutive(count(5)?),
    };
    Ok((trigger, Vec::new()))
}

/// The longest window by calls: a bit for each in one number of the host.
const MAX_CALLS: u64 = 63;

fn span(raw: &RawSettings, trigger: &Trigger) -> Result<Span, String> {
    let is_expression = matches!(trigger, Trigger::Expression(_));
    match (raw.window, raw.window_calls) {
        (Some(_), Some(_)) => Err("`window` and `window-calls` are two ways to look back; keep one".to_owned()),
        (Some(_), _) | (_, Some(_)) if is_expression => {
            Err("an `expression` always looks back ten seconds, a minute for latencies; remove `window`".to_owned())
        }
        (_, Some(_)) if raw.soft.is_some() => Err("`soft` looks back by time; use `window`".to_owned()),
        (_, Some(Number(calls @ 1..=MAX_CALLS))) => Ok(Span::Calls(u32::try_from(calls).unwrap_or(1))),
        (_, Some(Number(calls))) => Err(format!("`window-calls` is {calls} and has to be between 1 and {MAX_CALLS}")),
        (Some(Period(time)), None) if time < Duration::from_millis(100) || time > Duration::from_secs(3_600) => {
            Err("`window` has to be between 100ms and 1h".to_owned())
        }
        (window, None) => Ok(Span::Time(window.map_or(TEN_SECONDS, |time| time.0))),
    }
}

fn timing(raw: &RawSettings) -> Result<Timing, String> {
    let open = raw.fallback_duration.map_or(TEN_SECONDS, |time| time.0);
    let factor = raw.open_factor.map_or(1.0, |factor| factor.0);
    let jitter = raw.open_jitter.map_or(0.0, |share| share.0);
    if !(1.0..=100.0).contains(&factor) {
        return Err(format!("`open-factor` is {factor} and has to be between 1 and 100"));
    }
    if jitter > 1.0 {
        return Err(format!("`open-jitter` is {jitter} and has to be between 0 and 1"));
    }
    let recovery = match raw.probes {
        None => Recovery::Ramp,
        Some(probes) if (1..=1_000_000).contains(&probes.0) => Recovery::Probes(probes.clamped()),
        Some(Number(probes)) => return Err(format!("`probes` is {probes} and has to be between 1 and a million")),
    };
    let ceiling = raw.open_ceiling.map_or(Duration::from_secs(300), |time| time.0).max(open);
    let recovery_time = raw.recovery_duration.map_or(TEN_SECONDS, |time| time.0);
    Ok(Timing { open, factor, ceiling, jitter, recovery, recovery_time })
}

fn fallback(raw: &RawSettings) -> Result<Fallback, String> {
    let status = match raw.response_code.map_or(503, |code| code.0) {
        status @ 200..=599 => u16::try_from(status).unwrap_or(503),
        status => return Err(format!("`response-code` is {status} and has to be a status from 200 to 599")),
    };
    match (&raw.fallback_service, &raw.fallback_path) {
        (Some(_), _) if raw.body.is_some() => {
            Err("refused requests get a `body` or go to a `fallback-service`; keep one".to_owned())
        }
        (Some(name), path) => match path.as_ref().filter(|path| !path.starts_with('/')) {
            Some(path) => Err(format!("`fallback-path` is `{path}` and has to begin with `/`")),
            None => Ok(Fallback::Service { name: name.clone(), path: path.clone() }),
        },
        (None, Some(_)) => Err("`fallback-path` needs a `fallback-service`".to_owned()),
        (None, None) => {
            let content_type = raw.content_type.clone().unwrap_or_else(|| "text/plain; charset=utf-8".to_owned());
            Ok(Fallback::Reply { status, body: raw.body.clone(), content_type })
        }
    }
}

impl<'de> Deserialize<'de> for RawScope {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(input)?;
        if value == "instance" {
            return Ok(Self(None));
        }
        RawSource::deserialize(value).map(|source| Self(Some(source))).map_err(de::Error::custom)
    }
}

impl JsonSchema for RawScope {
    fn schema_name() -> Cow<'static, str> {
        RawSource::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RawSource::json_schema(generator)
    }
}
