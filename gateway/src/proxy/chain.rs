//! Steps 5 and 8: a request down its chain, a response back up.

use std::rc::Rc;

use hyper::header::{HeaderValue, LOCATION};
use hyper::http::response;
use hyper::{Response, StatusCode};

use super::trace::Trace;
use super::{Worker, path};
use crate::http::{Body, Exchange, Failure, finish_response, plain, reply_to, with_query};
use crate::live::{PolicyUse, Route, Step};
use crate::policy::{Decision, Passed};

/// Where a request stands after the chain.
pub(super) struct Enter {
    pub(super) exchange: Box<Exchange>,
    /// The policies that let it pass, in order.
    pub(super) passed: Vec<Passed>,
    /// Set where the chain answers the request itself.
    pub(super) stopped: Option<Stopped>,
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
    let mut passed = Vec::new();
    if chains.iter().all(|chain| chain.is_empty()) {
        return Enter { exchange, passed, stopped: None };
    }
    exchange.route = Some(std::sync::Arc::clone(&route.name));
    exchange.service = Some(std::sync::Arc::clone(&route.service.name));
    for step in chains.iter().copied().flatten() {
        let stopped = match step {
            Step::Path(change) => path::apply(change, &mut exchange).err().map(Stopped::Failed),
            Step::RedirectSlash => Some(Stopped::Answered(redirect_slash(&exchange))),
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
        passed.push(Passed { policy: std::sync::Arc::clone(policy), context });
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
    let (mut exchange, replaced) = leave(worker, exchange, &passed, &head);
    let (mut head, body) = replaced.map_or((head, body), Response::into_parts);
    finish_response(&mut head, &mut exchange, false);
    if let Some(close) = close {
        head.headers.insert(hyper::header::CONNECTION, close);
    }
    trace.answered(Response::from_parts(head, body), passed)
}

/// Shows the head of a response to the policies that want to see it, in reverse order. One of them may replace it.
pub(super) fn leave(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: &[Passed],
    head: &response::Parts,
) -> (Box<Exchange>, Option<Response<Body>>) {
    let mut replaced: Option<Response<Body>> = None;
    for policy in passed.iter().rev().filter(|passed| passed.policy.subscription.on_response) {
        let parts = replaced.take().map(Response::into_parts);
        let shown = parts.as_ref().map_or(head, |(head, _)| head);
        let (back, decision) = worker.instances.on_response(policy, exchange, shown);
        exchange = back;
        replaced = match decision {
            Decision::Respond(response) => Some(response),
            Decision::Fail => Some(reply_to(Failure::Policy)),
            Decision::Continue(_) | Decision::Delay(..) | Decision::Skip => {
                parts.map(|(head, body)| Response::from_parts(head, body))
            }
        };
    }
    (exchange, replaced)
}

/// 301 to the same path with its final slash toggled, the query kept.
fn redirect_slash(exchange: &Exchange) -> Response<Body> {
    let path = exchange.path.as_str();
    let toggled = match path.strip_suffix('/') {
        Some("") | None => format!("{path}/"),
        Some(without) => without.to_owned(),
    };
    let location = with_query(&toggled, exchange.head.uri.query());
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, "Moved Permanently");
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
