//! Steps 5 and 8 of a request: the policies of a chain, asked in the sandbox.
//!
//! Takes an exchange and a configured use of a plugin; gives a [`Decision`]. Each worker has its own instance of each
//! plugin version, so asking takes no lock. A failing call costs its request what the plugin's failure mode says, and
//! the instance is replaced; nothing else notices.

mod fields;
mod host;
mod instances;
mod reroute;
mod waiting;

pub use instances::{Instances, Reading};
pub use reroute::Reroute;

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use instances::AskError;
use sluice_wasm::{BodyVerdict, Ejector, Outcome, Reply, Verdict};

use crate::http::{Body, Exchange};
use crate::live::{FailureMode, PolicyUse};
use crate::state::InstanceState;

/// What a policy wants done.
pub enum Decision {
    /// Go on; the number is for its later hooks.
    Continue(u64),
    /// Go on after this long.
    Delay(std::time::Duration, u64),
    /// Answer this.
    Respond(Response<Body>),
    /// Go to another service.
    Reroute(Box<Reroute>),
    /// Send the request again after this long.
    Retry(std::time::Duration, u64),
    /// The policy failed and its failure mode is closed.
    Fail,
    /// The policy failed and its failure mode is open: as if it were not there.
    Skip,
}

/// What a policy wants done with a body.
pub enum BodyDecision {
    /// Nothing.
    Keep,
    /// This takes its place.
    Replace(Vec<u8>),
    /// Answer this.
    Respond(Response<Body>),
    /// The policy failed and its failure mode is closed.
    Fail,
}

/// A policy that let a request pass and wants to hear of the rest.
#[derive(Clone)]
pub struct Passed {
    /// The policy.
    pub policy: Arc<PolicyUse>,
    /// What its request hook left for later.
    pub context: u64,
}

/// Headers of a reply: what instances may send as well.
const MOST_HEADERS: usize = 256;
/// Longest wait a policy can ask for.
const LONGEST_DELAY: std::time::Duration = std::time::Duration::from_secs(60);

impl Instances {
    /// Asks a policy about a request.
    pub fn on_request(
        &self,
        policy: &Arc<PolicyUse>,
        exchange: Box<Exchange>,
        reading: &mut Reading,
    ) -> (Box<Exchange>, Decision) {
        let (exchange, verdict) =
            self.call(policy, "on-request", reading, exchange, |instance, mut exchange, begun| {
                let wanted = &policy.subscription.request_fields;
                if instance.is_lean() {
                    fields::prepare(wanted, &mut exchange);
                    return instance.on_request_lean(policy.handle, exchange, policy.state.ns_at(begun));
                }
                let fields = fields::of_request(wanted, &mut exchange);
                fields.with(|values| instance.on_request(policy.handle, exchange, values))
            });
        (exchange, decide(policy, verdict))
    }

    /// Asks a policy about the head of a response.
    pub fn on_response(
        &self,
        passed: &Passed,
        mut exchange: Box<Exchange>,
        head: &hyper::http::response::Parts,
    ) -> (Box<Exchange>, Decision) {
        let policy = &passed.policy;
        if policy.plugin.reads_response {
            exchange.notes().response = Some(head.headers.clone());
        }
        let reading = &mut Reading::default();
        let (exchange, verdict) = self.call(policy, "on-response", reading, exchange, |instance, exchange, _| {
            let fields = fields::of_response(&policy.subscription.response_headers, &head.headers);
            fields.with(|values| {
                instance.on_response(policy.handle, exchange, passed.context, head.status.as_u16(), values)
            })
        });
        (exchange, decide(policy, verdict))
    }

    /// Shows a policy a whole body: the request's, or that of an answer with a status.
    pub fn on_body(
        &self,
        passed: &Passed,
        exchange: Box<Exchange>,
        answered: Option<u16>,
        body: &[u8],
    ) -> (Box<Exchange>, BodyDecision) {
        let policy = &passed.policy;
        let hook = if answered.is_some() { "on-response-body" } else { "on-request-body" };
        let reading = &mut Reading::default();
        let (exchange, verdict) = self.call(policy, hook, reading, exchange, |instance, exchange, _| match answered {
            None => instance.on_request_body(policy.handle, exchange, passed.context, body),
            Some(status) => instance.on_response_body(policy.handle, exchange, passed.context, status, body),
        });
        (exchange, decide_body(policy, verdict))
    }

    /// Tells a policy how an exchange it let pass has ended.
    pub fn on_complete(
        &self,
        passed: &Passed,
        outcome: Outcome<'_>,
        instance: Option<&Arc<InstanceState>>,
        ejector: Option<Box<dyn Ejector>>,
        reading: &mut Reading,
    ) {
        let policy = &passed.policy;
        let (_, done) = self.call(policy, "on-complete", reading, (), |plugin, (), begun| {
            if !plugin.is_lean() {
                return ((), plugin.on_complete(policy.handle, passed.context, outcome, ejector));
            }
            let instance = instance.filter(|_| policy.plugin.asks_instance).map(|one| Arc::clone(one) as _);
            let now_ns = policy.state.ns_at(begun);
            ((), plugin.on_complete_lean(policy.handle, passed.context, outcome, instance, ejector, now_ns))
        });
        if let Err(error) = done {
            tracing::debug!(policy = %policy.name, plugin = %policy.plugin.name, %error, "policy failed at the end of an exchange");
        }
    }
}

fn decide(policy: &PolicyUse, verdict: Result<Verdict, AskError>) -> Decision {
    match verdict {
        Ok(Verdict::Next { context }) => Decision::Continue(context),
        Ok(Verdict::Delay { time, context }) => Decision::Delay(time.min(LONGEST_DELAY), context),
        Ok(Verdict::Retry { time, context }) => Decision::Retry(time.min(LONGEST_DELAY), context),
        Ok(Verdict::Reroute(wanted)) => match Reroute::check(*wanted) {
            Ok(reroute) => Decision::Reroute(Box::new(reroute)),
            Err(reason) => {
                unusable(policy, &reason);
                failed(policy)
            }
        },
        Ok(Verdict::Respond(reply)) => build(reply).map_or_else(|| failed(policy), Decision::Respond),
        Err(_) => failed(policy),
    }
}

fn decide_body(policy: &PolicyUse, verdict: Result<BodyVerdict, AskError>) -> BodyDecision {
    let failed = || match failed(policy) {
        Decision::Fail => BodyDecision::Fail,
        _ => BodyDecision::Keep,
    };
    match verdict {
        Ok(BodyVerdict::Keep) => BodyDecision::Keep,
        Ok(BodyVerdict::Replace(body)) => BodyDecision::Replace(body),
        Ok(BodyVerdict::Respond(reply)) => build(reply).map_or_else(failed, BodyDecision::Respond),
        Err(_) => failed(),
    }
}

/// A header as plugins may write it.
///
/// # Errors
/// What is wrong with it.
pub fn checked_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    Ok((host::header_name(name)?, host::header_value(name, value)?))
}

/// Says why a verdict cannot be followed.
fn unusable(policy: &PolicyUse, reason: &str) {
    if policy.plugin.metrics.should_log_failure() {
        tracing::error!(policy = %policy.name, plugin = %policy.plugin.name, reason, "verdict cannot be followed");
    }
}

/// What becomes of a request whose policy wants what there is not.
pub fn refuse(policy: &PolicyUse, reason: &str) -> Decision {
    unusable(policy, reason);
    failed(policy)
}

fn failed(policy: &PolicyUse) -> Decision {
    match policy.plugin.failure {
        FailureMode::Closed => Decision::Fail,
        FailureMode::Open => Decision::Skip,
    }
}

/// A reply as a response; `None` where the plugin asked for something that is not HTTP.
fn build(reply: Reply) -> Option<Response<Body>> {
    let status = StatusCode::from_u16(reply.status).ok().filter(|status| (200..600).contains(&status.as_u16()))?;
    if reply.headers.len() > MOST_HEADERS {
        return None;
    }
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = status;
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(host::may_be_set)?;
        response.headers_mut().append(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(response)
}
