//! Steps 5 and 8: a request down its chain, a response back up.

use std::rc::Rc;

use hyper::Response;
use hyper::http::response;

use super::steps::Entered;
use super::trace::Trace;
use super::{Worker, steps};
use crate::http::{Body, Exchange, Failure, finish_response, reply_to};
use crate::live::{PolicyUse, Route, Step};
use crate::policy::{self, Decision};

/// Where a request stands after the chain.
pub(super) struct Enter {
    pub(super) exchange: Box<Exchange>,
    /// What let it pass and has to do with its answer too, in order.
    pub(super) passed: Vec<Passed>,
    /// Set where the chain answers the request itself.
    pub(super) stopped: Option<Stopped>,
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
        return Enter { exchange, passed: Vec::new(), stopped: None };
    }
    exchange.route = Some(std::sync::Arc::clone(&route.name));
    exchange.service = Some(std::sync::Arc::clone(&route.service.name));
    pass(worker, exchange, chains).await
}

/// The same without a look at whether there are any, for chains of services as well.
pub(super) async fn pass(worker: &Rc<Worker>, mut exchange: Box<Exchange>, chains: &[&[Step]]) -> Enter {
    let mut passed = Vec::new();
    for step in chains.iter().copied().flatten() {
        let stopped = match step {
            Step::Native(step) => match steps::enter(step, &mut exchange) {
                Entered::Pass => None,
                Entered::PassWith(leave) => {
                    passed.push(Passed::Native(leave));
                    None
                }
                Entered::Stop(stopped) => Some(stopped),
            },
            Step::Policy(policy) => {
                let asked = worker.instances.on_request(policy, exchange);
                exchange = asked.0;
                heed(policy, asked.1, &mut passed).await
            }
        };
        if stopped.is_some() {
            return Enter { exchange, passed, stopped };
        }
    }
    Enter { exchange, passed, stopped: None }
}

/// Does what a policy decided.
async fn heed(policy: &std::sync::Arc<PolicyUse>, decision: Decision, passed: &mut Vec<Passed>) -> Option<Stopped> {
    let context = match decision {
        Decision::Continue(context) => context,
        Decision::Delay(wait, context) => {
            tokio::time::sleep(wait).await;
            context
        }
        Decision::Respond(response) => return Some(Stopped::Answered(response)),
        Decision::Fail => return Some(Stopped::Failed(Failure::Policy)),
        Decision::Skip => return None,
    };
    let wanted = &policy.subscription;
    if wanted.on_response || wanted.on_complete {
        passed.push(Passed::Policy(policy::Passed { policy: std::sync::Arc::clone(policy), context }));
    }
    None
}

/// Sends the chain's own answer back through the policies that had let the request pass.
pub(super) fn leave_early(
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
    answer(worker, exchange, passed, response, trace)
}

/// A response that does not come from an upstream: back through the chain, then out.
pub(super) fn answer(
    worker: &Rc<Worker>,
    exchange: Box<Exchange>,
    passed: Vec<Passed>,
    response: Response<Body>,
    trace: Trace,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let close = head.headers.remove(hyper::header::CONNECTION);
    let (mut exchange, replaced) = leave(worker, exchange, &passed, &mut head);
    let (mut head, body) = replaced.map_or((head, body), Response::into_parts);
    finish_response(&mut head, &mut exchange, false);
    if let Some(close) = close {
        head.headers.insert(hyper::header::CONNECTION, close);
    }
    trace.answered(Response::from_parts(head, body), passed)
}

/// Takes the head of a response back through the chain: native steps change it, policies that want to see it are shown
/// it, and one of them may replace the response.
pub(super) fn leave(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: &[Passed],
    head: &mut response::Parts,
) -> (Box<Exchange>, Option<Response<Body>>) {
    let mut replaced: Option<(response::Parts, Body)> = None;
    for passed in passed.iter().rev() {
        let shown = replaced.as_mut().map_or(&mut *head, |(head, _)| head);
        match passed {
            Passed::Native(step) => step.apply(shown),
            Passed::Policy(policy) if policy.policy.subscription.on_response => {
                let (back, decision) = worker.instances.on_response(policy, exchange, shown);
                exchange = back;
                match decision {
                    Decision::Respond(response) => replaced = Some(response.into_parts()),
                    Decision::Fail => replaced = Some(reply_to(Failure::Policy).into_parts()),
                    Decision::Continue(_) | Decision::Delay(..) | Decision::Skip => {}
                }
            }
            Passed::Policy(_) => {}
        }
    }
    (exchange, replaced.map(|(head, body)| Response::from_parts(head, body)))
}
