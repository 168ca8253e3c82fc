//! The policy world's types.

use std::borrow::Cow;
use std::time::Duration;

use crate::bindings::policy::sluice::gateway::{policy_types as wit, state};
use crate::bindings::router::sluice::gateway::log;
use crate::log::Level;
use crate::types::{Failure, Field, Outcome, Reply, Reservation, Subscription, Verdict};

/// The longest a policy may hold an exchange back.
const MAX_DELAY: Duration = Duration::from_mins(1);

pub(crate) fn field(field: wit::Field) -> Field<'static> {
    match field {
        wit::Field::Method => Field::Method,
        wit::Field::Path => Field::Path,
        wit::Field::Query => Field::Query,
        wit::Field::Host => Field::Host,
        wit::Field::Scheme => Field::Scheme,
        wit::Field::ClientIp => Field::ClientIp,
        wit::Field::Entrypoint => Field::Entrypoint,
        wit::Field::Route => Field::Route,
        wit::Field::Service => Field::Service,
        wit::Field::Header(name) => Field::Header(Cow::Owned(name)),
    }
}

pub(crate) fn subscription(subscription: wit::Subscription) -> Subscription {
    Subscription {
        on_request: subscription.hooks.contains(wit::Hooks::ON_REQUEST),
        on_response: subscription.hooks.contains(wit::Hooks::ON_RESPONSE),
        on_complete: subscription.hooks.contains(wit::Hooks::ON_COMPLETE),
        request_fields: subscription.request_fields.into_iter().map(field).collect(),
        response_headers: subscription.response_headers,
    }
}

/// Refuses answers no client could get.
pub(crate) fn verdict(verdict: wit::Verdict) -> Result<Verdict, String> {
    Ok(match verdict {
        wit::Verdict::Next(context) => Verdict::Next { context },
        wit::Verdict::Respond(reply) => Verdict::Respond(self::reply(reply)?),
        wit::Verdict::Delay(pause) => {
            let time = Duration::from_nanos(pause.nanoseconds).min(MAX_DELAY);
            Verdict::Delay { time, context: pause.context }
        }
    })
}

fn reply(reply: wit::Reply) -> Result<Reply, String> {
    if !(200..=599).contains(&reply.status) {
        return Err(format!("it answered with status {}, which is not one of 200 to 599", reply.status));
    }
    let headers = reply.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Ok(Reply { status: reply.status, headers, body: reply.body })
}

pub(crate) fn outcome(outcome: Outcome) -> wit::Outcome {
    wit::Outcome {
        status: outcome.status,
        failure: outcome.failure.map(failure),
        duration_ns: u64::try_from(outcome.duration.as_nanos()).unwrap_or(u64::MAX),
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
