//! The policy world's types.

use std::borrow::Cow;
use std::time::Duration;

use crate::bindings::policy::sluice::gateway::{policy_types as wit, state, system};
use crate::bindings::router::sluice::gateway::log;
use crate::grants::Grants;
use crate::log::Level;
use crate::state::{Adaptive, AdaptiveKind, BucketKind, GateSpec, Pressure, Reservation, Totals};
use crate::types::{BodyVerdict, Failure, Field, Outcome, Reply, Reroute, Subscription, Verdict};

/// The longest a policy may hold an exchange back.
const MAX_DELAY: Duration = Duration::from_mins(1);
/// The longest body that is gathered for a hook.
const MAX_BODY: u64 = 16 << 20;
/// What longer ones are refused with, unless the plugin says otherwise.
const TOO_LONG: u16 = 413;

/// A field, withheld where the plugin may not read it.
pub(crate) fn field(field: wit::Field, grants: &Grants) -> Field<'static> {
    match field {
        wit::Field::Method => Field::Method,
        wit::Field::Path => Field::Path,
        wit::Field::Query => Field::Query,
        wit::Field::Host => Field::Host,
        wit::Field::Scheme => Field::Scheme,
        wit::Field::ClientIp => Field::ClientIp,
        wit::Field::ClientPort => Field::ClientPort,
        wit::Field::Entrypoint => Field::Entrypoint,
        wit::Field::Route => Field::Route,
        wit::Field::Service => Field::Service,
        wit::Field::Tls => Field::Tls,
        wit::Field::Attempt => Field::Attempt,
        wit::Field::RequestId => Field::RequestId,
        wit::Field::Header(name) if !grants.may_read(&name) => Field::Withheld,
        wit::Field::Header(name) => Field::Header(Cow::Owned(name)),
        wit::Field::Cookie(_) if !grants.may_read("cookie") => Field::Withheld,
        wit::Field::Cookie(name) => Field::Cookie(Cow::Owned(name)),
        wit::Field::QueryParam(name) => Field::QueryParam(Cow::Owned(name)),
    }
}

pub(crate) fn subscription(subscription: wit::Subscription, grants: &Grants) -> Subscription {
    let wants = |hook| subscription.hooks.contains(hook);
    let header = |name: String| if grants.may_read(&name) { name } else { String::new() };
    Subscription {
        on_request: wants(wit::Hooks::ON_REQUEST),
        on_response: wants(wit::Hooks::ON_RESPONSE),
        on_complete: wants(wit::Hooks::ON_COMPLETE),
        request_body: wants(wit::Hooks::REQUEST_BODY).then_some(subscription.request_body_limit.min(MAX_BODY)),
        request_body_status: match subscription.request_body_status {
            status @ 400..=599 => status,
            _ => TOO_LONG,
        },
        response_body: wants(wit::Hooks::RESPONSE_BODY).then_some(subscription.response_body_limit.min(MAX_BODY)),
        request_fields: subscription.request_fields.into_iter().map(|wanted| field(wanted, grants)).collect(),
        response_headers: subscription.response_headers.into_iter().map(header).collect(),
    }
}

/// Refuses answers no client could get.
pub(crate) fn verdict(verdict: wit::Verdict) -> Result<Verdict, String> {
    Ok(match verdict {
        wit::Verdict::Next(context) => Verdict::Next { context },
        wit::Verdict::Respond(reply) => Verdict::Respond(self::reply(reply)?),
        wit::Verdict::Delay(pause) => Verdict::Delay { time: time(pause), context: pause.context },
        wit::Verdict::Reroute(reroute) => Verdict::Reroute(Box::new(self::reroute(reroute)?)),
        wit::Verdict::Retry(pause) => Verdict::Retry { time: time(pause), context: pause.context },
    })
}

fn time(pause: wit::Pause) -> Duration {
    Duration::from_nanos(pause.nanoseconds).min(MAX_DELAY)
}

fn reroute(reroute: wit::Reroute) -> Result<Reroute, String> {
    reroute.status.map_or(Ok(()), check_status)?;
    let wit::Reroute { service, path, method, status, headers, timeout_ns, context } = reroute;
    let timeout = (timeout_ns > 0).then(|| Duration::from_nanos(timeout_ns));
    Ok(Reroute { service, path, method, status, headers: self::headers(headers), timeout, context })
}

/// Refuses answers no client could get.
pub(crate) fn body_verdict(verdict: wit::BodyVerdict) -> Result<BodyVerdict, String> {
    Ok(match verdict {
        wit::BodyVerdict::Keep => BodyVerdict::Keep,
        wit::BodyVerdict::Replace(body) => BodyVerdict::Replace(body),
        wit::BodyVerdict::Respond(reply) => BodyVerdict::Respond(self::reply(reply)?),
    })
}

fn reply(reply: wit::Reply) -> Result<Reply, String> {
    check_status(reply.status)?;
    Ok(Reply { status: reply.status, headers: headers(reply.headers), body: reply.body })
}

fn check_status(status: u16) -> Result<(), String> {
    if (200..=599).contains(&status) {
        return Ok(());
    }
    Err(format!("it answered with status {status}, which is not one of 200 to 599"))
}

fn headers(headers: Vec<wit::Header>) -> Vec<(String, String)> {
    headers.into_iter().map(|header| (header.name, header.value)).collect()
}

pub(crate) fn outcome(outcome: Outcome<'_>) -> wit::Outcome<'_> {
    wit::Outcome {
        status: outcome.status,
        failure: outcome.failure.map(failure),
        duration_ns: u64::try_from(outcome.duration.as_nanos()).unwrap_or(u64::MAX),
        instance: outcome.instance,
        upstream_status: outcome.upstream_status,
        request_bytes: outcome.request_bytes,
        response_bytes: outcome.response_bytes,
        rerouted: outcome.rerouted,
        grpc_status: outcome.grpc_status,
    }
}

/// What an operator forced, by its name.
pub(crate) fn force(name: &str) -> Option<wit::Force> {
    match name {
        "open" => Some(wit::Force::Open),
        "closed" => Some(wit::Force::Closed),
        "disabled" => Some(wit::Force::Disabled),
        _ => None,
    }
}

fn failure(failure: Failure) -> wit::Failure {
    match failure {
        Failure::Connect => wit::Failure::Connect,
        Failure::Timeout => wit::Failure::Timeout,
        Failure::Protocol => wit::Failure::Protocol,
        Failure::NoInstance => wit::Failure::NoInstance,
        Failure::Client => wit::Failure::Client,
    }
}

pub(crate) fn failure_of(failure: wit::Failure) -> Failure {
    match failure {
        wit::Failure::Connect => Failure::Connect,
        wit::Failure::Timeout => Failure::Timeout,
        wit::Failure::Protocol => Failure::Protocol,
        wit::Failure::NoInstance => Failure::NoInstance,
        wit::Failure::Client => Failure::Client,
    }
}

/// Evenly spaced tokens and the generic cell rate algorithm are the same decisions.
pub(crate) fn bucket_kind(kind: state::BucketKind) -> BucketKind {
    match kind {
        state::BucketKind::TokenBucket | state::BucketKind::Gcra => BucketKind::Token,
        state::BucketKind::SlidingWindow => BucketKind::SlidingWindow,
        state::BucketKind::Calendar => BucketKind::Calendar,
    }
}

pub(crate) fn gate_spec(spec: state::GateSpec) -> GateSpec {
    let adaptive = spec.adaptive.map(|adaptive| Adaptive {
        kind: match adaptive.kind {
            state::AdaptiveKind::Gradient2 => AdaptiveKind::Gradient2,
            state::AdaptiveKind::Vegas => AdaptiveKind::Vegas,
            state::AdaptiveKind::Aimd => AdaptiveKind::Aimd,
        },
        min: adaptive.min,
        max: adaptive.max,
    });
    GateSpec { limit: spec.limit, adaptive, shares: spec.shares }
}

pub(crate) fn totals(totals: Totals) -> state::Totals {
    let Totals { requests, failures, errors, slow } = totals;
    state::Totals { requests, failures, errors, slow }
}

pub(crate) fn pressure(pressure: Pressure) -> system::Pressure {
    let Pressure { cpu_permille, memory_permille, loop_lag_ns } = pressure;
    system::Pressure { cpu_permille, memory_permille, loop_lag_ns }
}

pub(crate) fn reservation(reservation: Reservation) -> state::Reservation {
    match reservation {
        Reservation::Granted { wait_ns, remaining } => state::Reservation { granted: true, wait_ns, remaining },
        Reservation::Refused { retry_ns, remaining } => {
            state::Reservation { granted: false, wait_ns: retry_ns, remaining }
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Error,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug => Self::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn delays_are_a_minute_at_most() {
        let pause = wit::Pause { nanoseconds: u64::MAX, context: 7 };
        let delay = verdict(wit::Verdict::Delay(pause)).unwrap();
        assert_eq!(delay, Verdict::Delay { time: Duration::from_secs(60), context: 7 });
    }

    #[test]
    fn only_final_statuses_are_answers() {
        let answer = |status| verdict(wit::Verdict::Respond(wit::Reply { status, headers: vec![], body: vec![] }));
        assert!(answer(199).is_err());
        assert!(answer(200).is_ok());
        assert!(answer(599).is_ok());
        assert!(answer(600).is_err());
    }
}
