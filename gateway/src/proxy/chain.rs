//! Steps 5 and 8: a request down its chain, a response back up.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Response;
use hyper::http::response;

use super::planned::Plan;
use super::steps::{Entered, Form};
use super::trace::Trace;
use super::{Worker, again, bodies, eject, steps};
use crate::http::{Answering, Body, Exchange, Failure, finish_response, reply_to};
use crate::live::{PolicyUse, Route, Service, Step};
use crate::policy::{self, Decision, Reading};
use crate::upstream::AnswerBody;

/// Where a request stands after the chain.
pub(super) struct Enter {
    pub(super) exchange: Box<Exchange>,
    /// What let it pass and has to do with its answer too, in order.
    pub(super) passed: Vec<Passed>,
    /// What has to be done besides passing request and answer on, where a step asks for it.
    pub(super) plan: Option<Box<Plan>>,
    /// Set where the chain answers the request itself.
    pub(super) stopped: Option<Stopped>,
    /// Set where a policy sent it to another service than the route's.
    pub(super) service: Option<Arc<Service>>,
}

/// Where an answer stands after the chain.
pub(super) struct Left {
    pub(super) exchange: Box<Exchange>,
    /// What is answered in its place.
    pub(super) replaced: Option<Response<Body>>,
    /// What becomes of its body, the innermost step's first.
    pub(super) forms: Vec<Form>,
}

/// A step that let a request pass and has to do with its answer as well.
pub(super) enum Passed {
    Native(steps::Leave),
    Policy(policy::Passed),
}

impl Passed {
    /// The policy that passed, where it is one.
    pub(super) fn policy(&self) -> Option<&policy::Passed> {
        match self {
            Self::Native(_) => None,
            Self::Policy(policy) => Some(policy),
        }
    }
}

/// How a chain ends a request.
pub(super) enum Stopped {
    Answered(Response<Body>),
    Failed(Failure),
}

/// Takes a request through the steps of its chains, in order, up to the first that answers it.
pub(super) async fn enter(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    chains: &[&[Step]],
    route: &Route,
) -> Enter {
    if chains.iter().all(|chain| chain.is_empty()) {
        return Enter { exchange, passed: Vec::new(), plan: None, stopped: None, service: None };
    }
    exchange.route = Some(Arc::clone(&route.name));
    exchange.service = Some(Arc::clone(&route.service.name));
    pass(worker, exchange, chains).await
}

/// The same without a look at whether there are any, for chains of services as well.
pub(super) async fn pass(worker: &Rc<Worker>, mut exchange: Box<Exchange>, chains: &[&[Step]]) -> Enter {
    let (mut passed, mut plan, mut service) = (Vec::new(), None, None);
    let mut reading = Reading::default();
    for step in chains.iter().copied().flatten() {
        let stopped = match step {
            Step::Native(step) => {
                reading = Reading::default();
                match steps::enter(step, &mut exchange, &mut plan) {
                    Entered::Pass => None,
                    Entered::PassWith(leave) => {
                        passed.push(Passed::Native(leave));
                        None
                    }
                    Entered::Stop(stopped) => Some(stopped),
                }
            }
            Step::Policy(policy) if policy.state.is_disabled() => None,
            Step::Policy(policy) => {
                let (asked, mut decision) = if policy.plugin.waits {
                    reading = Reading::default();
                    worker.errands.start(worker);
                    Box::pin(worker.instances.on_request_waiting(policy, exchange)).await
                } else {
                    worker.instances.on_request(policy, exchange, &mut reading)
                };
                exchange = asked;
                if let Decision::Reroute(reroute) = decision {
                    let context = reroute.context;
                    decision = match again::redirect(worker, &mut exchange, *reroute) {
                        Ok(other) => {
                            service = Some(other);
                            Decision::Continue(context)
                        }
                        Err(reason) => policy::refuse(policy, &reason),
                    };
                }
                if matches!(decision, Decision::Delay(..)) {
                    reading = Reading::default();
                }
                heed(policy, decision, &mut passed).await
            }
        };
        if stopped.is_some() {
            return Enter { exchange, passed, plan, stopped, service };
        }
    }
    Enter { exchange, passed, plan, stopped: None, service }
}

/// Does what a policy decided.
async fn heed(policy: &Arc<PolicyUse>, decision: Decision, passed: &mut Vec<Passed>) -> Option<Stopped> {
    let context = match decision {
        // There is nothing yet to send again.
        Decision::Continue(context) | Decision::Retry(_, context) => context,
        Decision::Delay(wait, context) => {
            tokio::time::sleep(wait).await;
            context
        }
        Decision::Respond(response) => return Some(Stopped::Answered(response)),
        Decision::Fail => return Some(Stopped::Failed(Failure::Policy)),
        Decision::Skip | Decision::Reroute(_) => return None,
    };
    let wanted = &policy.subscription;
    if wanted.wants_more() {
        passed.push(Passed::Policy(policy::Passed { policy: Arc::clone(policy), context }));
    }
    None
}

/// Sends the chain's own answer back through the policies that had let the request pass.
pub(super) async fn leave_early(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: Vec<Passed>,
    stopped: Stopped,
    mut trace: Trace,
) -> Response<Body> {
    trace.hold(&mut exchange);
    let response = match stopped {
        Stopped::Answered(response) => response,
        Stopped::Failed(failure) => {
            trace.note(failure);
            reply_to(failure)
        }
    };
    answer(worker, exchange, passed, response, trace).await
}

/// A response that does not come from an upstream: back through the chain, then out.
pub(super) async fn answer(
    worker: &Rc<Worker>,
    exchange: Box<Exchange>,
    mut passed: Vec<Passed>,
    response: Response<Body>,
    mut trace: Trace,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let close = head.headers.remove(hyper::header::CONNECTION);
    let Left { mut exchange, replaced, .. } = leave(worker, exchange, &mut passed, &mut head, None).await;
    trace.learn(&mut exchange);
    let response = replaced.unwrap_or_else(|| Response::from_parts(head, body));
    let (mut exchange, response) = bodies::of_response(worker, exchange, &passed, response).await;
    let (mut head, body) = response.into_parts();
    finish_response(&mut head, &mut exchange, false);
    if let Some(close) = close {
        head.headers.insert(hyper::header::CONNECTION, close);
    }
    trace.answered(Response::from_parts(head, body), passed)
}

/// Takes the head of a response back through the chain: native steps change it, policies that want to see it are shown
/// it. Each of these may replace the response, by a reply of its own or by the answer of another service, or have the
/// request sent again. `body` is there where steps may change the form of the upstream's.
pub(super) async fn leave(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: &mut [Passed],
    head: &mut response::Parts,
    body: Option<&AnswerBody>,
) -> Left {
    let mut replaced: Option<(response::Parts, Body)> = None;
    let mut forms = Vec::new();
    for passed in passed.iter_mut().rev() {
        let body = body.filter(|_| replaced.is_none());
        let shown = replaced.as_mut().map_or(&mut *head, |(head, _)| head);
        match passed {
            Passed::Native(step) => forms.extend(step.apply(shown, body)),
            Passed::Policy(policy) if policy.policy.subscription.on_response => {
                let shown = &*shown;
                let (back, other) = show(worker, policy, exchange, shown).await;
                exchange = back;
                if let Some(other) = other {
                    replaced = Some(other.into_parts());
                }
            }
            Passed::Policy(_) => {}
        }
    }
    Left { exchange, replaced: replaced.map(|(head, body)| Response::from_parts(head, body)), forms }
}

/// Shows a policy the head of a response; answers what takes its place, if anything. After a retry the policy is shown
/// what came of it, and may want another; after another service has failed, what the client would get.
async fn show(
    worker: &Rc<Worker>,
    passed: &mut policy::Passed,
    mut exchange: Box<Exchange>,
    head: &response::Parts,
) -> (Box<Exchange>, Option<Response<Body>>) {
    let mut replaced: Option<Response<Body>> = None;
    let mut in_vain = false;
    if passed.policy.plugin.ejects {
        let last = exchange.notes().tried.last().copied();
        exchange.notes().ejector = eject::of(worker, exchange.service.as_ref(), last).map(Answering);
    }
    loop {
        let parts = replaced.take().map(Response::into_parts);
        let shown = parts.as_ref().map_or(head, |(head, _)| head);
        let status = shown.status;
        let (back, decision) = if passed.policy.plugin.waits {
            Box::pin(worker.instances.on_response_waiting(passed, exchange, shown)).await
        } else {
            worker.instances.on_response(passed, exchange, shown)
        };
        exchange = back;
        let shown = parts.map(|(head, body)| Response::from_parts(head, body));
        replaced = match decision {
            Decision::Respond(response) => Some(response),
            Decision::Fail => Some(reply_to(Failure::Policy)),
            // There is no third one.
            Decision::Reroute(_) if in_vain => shown,
            Decision::Reroute(reroute) => {
                let context = reroute.context;
                match Box::pin(again::substitute(worker, &mut exchange, *reroute, status)).await {
                    Ok((response, answered)) => {
                        passed.context = context;
                        if !answered {
                            in_vain = true;
                            replaced = Some(response);
                            continue;
                        }
                        Some(response)
                    }
                    // The answer that is there is better than none, whatever a failure of the policy costs otherwise.
                    Err(reason) => {
                        drop(policy::refuse(&passed.policy, &reason));
                        shown
                    }
                }
            }
            Decision::Retry(wait, _) => match Box::pin(again::retry(worker, &mut exchange, wait)).await {
                Some(response) => {
                    replaced = Some(response);
                    continue;
                }
                None => shown,
            },
            Decision::Continue(_) | Decision::Delay(..) | Decision::Skip => shown,
        };
        return (exchange, replaced);
    }
}
