//! Steps 6 and 7: the request to an instance, and the answer on its way back.

use std::rc::Rc;

use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::chain::Passed;
use super::stream::{Ending, UpstreamBody};
use super::trace::Trace;
use super::{Worker, chain};
use crate::balance::{self, Lease};
use crate::http::{Body, Exchange, Failure, RequestBody, finish_request, finish_response, reply_to};
use crate::live::Service;
use crate::upstream::{AnswerBody, SendError};

/// Instances tried for one request, as long as nothing of it has been sent.
const MOST_TRIES: usize = 3;

/// Sends the request to the service and its answer back through the chain.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    service: &Service,
    mut exchange: Box<Exchange>,
    body: Incoming,
    passed: Vec<Passed>,
    mut trace: Trace,
) -> Response<Body> {
    trace.hold(&mut exchange);
    let client_side = exchange.head.extensions.remove::<OnUpgrade>();
    match send(worker, service, &mut exchange, body, &passed, &mut trace).await {
        Ok((answer, lease)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch(exchange, answer, lease, client_side, passed, trace)
        }
        Ok((answer, lease)) => stream_back(worker, exchange, answer, lease, passed, trace),
        Err(failure) => {
            trace.note(failure);
            chain::answer(worker, exchange, passed, reply_to(failure), trace)
        }
    }
}

/// Finds an instance that takes the request.
async fn send(
    worker: &Rc<Worker>,
    service: &Service,
    exchange: &mut Exchange,
    body: Incoming,
    passed: &[Passed],
    trace: &mut Trace,
) -> Result<(Response<AnswerBody>, Lease), Failure> {
    let upgrade = exchange.upgrade.is_some();
    let pass_host = service.pass_host_header;
    let (mut lease, host) = balance::pick(service, &[]).ok_or(Failure::NoInstance)?;
    finish_request(exchange, (!pass_host).then_some(host), &worker.settings.server_name);
    let head = take_head(
        exchange,
        passed.iter().filter_map(Passed::policy).any(|passed| passed.policy.subscription.on_response),
    );
    let mut request = Request::from_parts(head, RequestBody::new(body, exchange.client.body_idle));
    let mut tried = Vec::new();
    loop {
        trace.trying(lease.instance());
        let error = match worker.pool.send(lease.instance(), request, upgrade).await {
            Ok(answer) => return Ok((answer, lease)),
            Err(error) => error,
        };
        trace.upstream_failed(lease.instance(), &error);
        let SendError { failure, unsent: Some(unsent), .. } = error else { return Err(error.failure) };
        tried.push(lease.instance().id);
        let next = if tried.len() < MOST_TRIES { balance::pick(service, &tried) } else { None };
        let Some((next, host)) = next else { return Err(failure) };
        lease = next;
        request = unsent;
        if !pass_host {
            request.headers_mut().insert(hyper::header::HOST, HeaderValue::clone(host));
        }
    }
}

/// The head to send. What response hooks may still ask about is left behind where there are any.
fn take_head(exchange: &mut Exchange, keep: bool) -> request::Parts {
    let mut left = Request::new(()).into_parts().0;
    if keep {
        left.method = exchange.head.method.clone();
        left.uri = exchange.head.uri.clone();
        left.headers = exchange.head.headers.clone();
    }
    std::mem::replace(&mut exchange.head, left)
}

/// Head through the chain, body frame by frame.
fn stream_back(
    worker: &Rc<Worker>,
    exchange: Box<Exchange>,
    answer: Response<AnswerBody>,
    lease: Lease,
    passed: Vec<Passed>,
    trace: Trace,
) -> Response<Body> {
    let (mut head, incoming) = answer.into_parts();
    let (mut exchange, replaced) = chain::leave(worker, exchange, &passed, &mut head);
    if let Some(replaced) = replaced {
        // The upstream's body is dropped unread, and its connection with it.
        let (mut head, body) = replaced.into_parts();
        finish_response(&mut head, &mut exchange, false);
        return trace.answered(Response::from_parts(head, body), passed);
    }
    finish_response(&mut head, &mut exchange, false);
    let ending = Ending::new(Rc::clone(worker), lease, passed, trace, head.status);
    if incoming.is_end_stream() {
        ending.complete(incoming);
        return Response::from_parts(head, Body::Empty);
    }
    let body = UpstreamBody::new(incoming, ending, worker.settings.response_idle);
    Response::from_parts(head, Body::Streaming(Box::new(body)))
}

/// Joins the two connections after an accepted upgrade.
fn switch(
    mut exchange: Box<Exchange>,
    answer: Response<AnswerBody>,
    lease: Lease,
    client_side: Option<OnUpgrade>,
    passed: Vec<Passed>,
    mut trace: Trace,
) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let upstream_side = body.into_switched();
    let (Some(client_side), Some(mut upstream), Some(_)) = (client_side, upstream_side, &exchange.upgrade) else {
        // A switch nobody asked for.
        trace.note(Failure::Protocol);
        return trace.answered(reply_to(Failure::Protocol), passed);
    };
    finish_response(&mut head, &mut exchange, true);
    let status = head.status;
    tokio::task::spawn_local(async move {
        let Ok(client) = client_side.await else { return trace.ended(status, 0, passed) };
        let mut client = TokioIo::new(client);
        let copied = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        drop(lease);
        trace.ended(status, copied.map_or(0, |(_, down)| down), passed);
    });
    Response::from_parts(head, Body::Empty)
}
