//! Steps 6 and 7: the request to an instance, and the answer on its way back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, SET_COOKIE};
use hyper::http::request;
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;

use super::chain::{Left, Passed};
use super::composite::{self, Extras};
use super::compress::compressed;
use super::planned::{self, Plan};
use super::steps::Form;
use super::stream::{Ending, UpstreamBody};
use super::trace::Trace;
use super::{Worker, again, bodies, chain, grpc_web, tunnel};
use crate::balance::{self, Asking, Lease, Outcome, Picked};
use crate::http::{
    Body, Exchange, Failure, RequestBody, Sendable, Streaming, finish_request, finish_response, grpc_reply, refusal,
    reply_to, unavailable,
};
use crate::live::{Balancer, Endpoint, Kind, Service};
use crate::state::Place;
use crate::upstream::{AnswerBody, SendError};

/// Instances tried for one request, as long as nothing of it has been sent.
pub(super) const MOST_TRIES: usize = 3;

/// An answer, and the place at the instance it comes from.
pub(super) type Sent = (Response<AnswerBody>, Lease);

/// Sends the request to the service and its answer back through the chain.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    service: &Service,
    mut exchange: Box<Exchange>,
    body: Incoming,
    plan: Option<Box<Plan>>,
    passed: Vec<Passed>,
    trace: Trace,
) -> Response<Body> {
    let extras = Extras::with(plan);
    let hints = (exchange.head.version == Version::HTTP_11).then(|| Arc::clone(&exchange.client));
    let mut body = match exchange.body {
        Sendable::Nothing => RequestBody::whole(Bytes::new()),
        Sendable::Once | Sendable::Kept | Sendable::Gone => {
            RequestBody::new(body, exchange.client.rules.body).with_hints(hints)
        }
    };
    if bodies::are_sent(&passed) {
        let (shown, gathered) = Box::pin(bodies::of_request(worker, exchange, &passed, body)).await;
        exchange = shown;
        body = match gathered {
            Ok(body) => body,
            Err(stopped) => return Box::pin(chain::leave_early(worker, exchange, passed, stopped, trace)).await,
        };
    }
    match &service.kind {
        Kind::Balancer(balancer) => deliver(worker, service, balancer, exchange, body, passed, trace, extras).await,
        _ => Box::pin(composite::forward(worker, service, exchange, body, passed, trace, extras)).await,
    }
}

/// Sends the request to an instance of the service and its answer back through the chain.
#[expect(clippy::too_many_arguments, reason = "what a request has gathered on its way")]
pub(super) async fn deliver(
    worker: &Rc<Worker>,
    service: &Service,
    balancer: &Balancer,
    mut exchange: Box<Exchange>,
    body: RequestBody,
    passed: Vec<Passed>,
    mut trace: Trace,
    mut extras: Extras,
) -> Response<Body> {
    trace.hold(&mut exchange);
    let client_side = exchange.head.extensions.remove::<OnUpgrade>();
    let grpc = is_grpc(&exchange.head);
    let wanted = passed.iter().filter_map(Passed::policy).any(|passed| passed.policy.subscription.on_response);
    if wanted {
        exchange.body = match exchange.body {
            Sendable::Kept => Sendable::Kept,
            Sendable::Once | Sendable::Gone if !body.is_end_stream() => Sendable::Gone,
            Sendable::Once | Sendable::Gone | Sendable::Nothing => Sendable::Nothing,
        };
    }
    let patience = exchange.notes.as_ref().and_then(|notes| notes.patience);
    // Apart, so that requests without a plan or a time limit do not carry their state around.
    let sent = match extras.plan.take() {
        Some(plan) => {
            let sent = planned::send(worker, balancer, &mut exchange, body, &plan, wanted, &mut trace, &mut extras);
            Box::pin(again::within(patience, sent)).await
        }
        None if patience.is_some() => {
            let sent = send(worker, balancer, &mut exchange, body, wanted, &mut trace, &mut extras);
            Box::pin(again::within(patience, sent)).await
        }
        None => send(worker, balancer, &mut exchange, body, wanted, &mut trace, &mut extras).await,
    };
    match sent {
        Ok((answer, lease)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch(exchange, answer, lease, client_side, passed, trace)
        }
        Ok((answer, lease)) => match extras.replacement(answer.status()) {
            Some(fallback) => {
                drop((answer, lease));
                composite::fall_back(worker, fallback, exchange, passed, trace).await
            }
            None => stream_back(worker, exchange, answer, lease, passed, trace, &extras).await,
        },
        Err(failure) => {
            if let Some(fallback) = extras.replacement(reply_to(failure).status()) {
                return composite::fall_back(worker, fallback, exchange, passed, trace).await;
            }
            trace.note(failure);
            let refused = exchange.client.refused_body().filter(|_| failure == Failure::Client);
            let reply = match (refused, failure, service.spec.balancer()) {
                (Some(refused), ..) => refusal(refused, exchange.head.version),
                _ if grpc => grpc_reply(failure),
                (_, Failure::NoInstance, Some(spec)) => unavailable(&spec.unavailable),
                _ => reply_to(failure),
            };
            chain::answer(worker, exchange, passed, reply, trace).await
        }
    }
}

/// Finds an instance that takes the request.
async fn send(
    worker: &Rc<Worker>,
    balancer: &Balancer,
    exchange: &mut Exchange,
    mut body: RequestBody,
    keep: bool,
    trace: &mut Trace,
    extras: &mut Extras,
) -> Result<Sent, Failure> {
    let upgrade = exchange.upgrade.is_some();
    let place = if balancer.limited { enter(balancer).await? } else { None };
    let asking = Asking { client: exchange.ip_value(), headers: Some(&exchange.head.headers) };
    let Picked { mut lease, mut endpoint, cookie } = balance::pick(balancer, asking, &[]).ok_or(Failure::NoInstance)?;
    extras.set(cookie);
    if let Some(place) = place {
        lease.hold(place);
    }
    let kept = kept_head(exchange, keep);
    if keep {
        exchange.notes().tried.push(lease.instance().id);
    }
    let own_host = (!balancer.pass_host_header).then_some(&endpoint.host);
    let forwarding = finish_request(exchange, own_host, &worker.settings.server_name);
    put_before("", endpoint, &mut exchange.head.uri);
    if extras.has_copies() {
        forwarding.add_to(&mut exchange.head.headers);
        extras.send_copies(worker, &exchange.head, &exchange.authority);
    } else {
        body.forwarding = Some(forwarding);
    }
    let head = std::mem::replace(&mut exchange.head, kept.unwrap_or_else(|| Request::new(()).into_parts().0));
    let mut request = Request::from_parts(head, body);
    let mut tried = Vec::new();
    loop {
        trace.trying(lease.instance());
        exchange.attempts += 1;
        let begun = balancer.watches.then(Instant::now);
        let sent = worker.pool.send(lease.instance(), request, upgrade).await;
        if let Some(begun) = begun {
            observe(balancer, endpoint, &sent, begun);
        }
        let error = match sent {
            Ok(answer) => return Ok((answer, lease)),
            Err(error) => error,
        };
        trace.upstream_failed(lease.instance(), &error);
        let SendError { failure, unsent: Some(unsent), .. } = error else { return Err(error.failure) };
        tried.push(lease.instance().id);
        let asking = Asking { client: exchange.ip_value(), headers: None };
        let next = if tried.len() < MOST_TRIES { balance::pick(balancer, asking, &tried) } else { None };
        let Some(next) = next else { return Err(failure) };
        request = unsent;
        put_before(&endpoint.path, next.endpoint, request.uri_mut());
        if !balancer.pass_host_header {
            request.headers_mut().insert(HOST, next.endpoint.host.clone());
        }
        extras.set_instead(cookie, next.cookie);
        lease = next.lease.in_place_of(lease);
        endpoint = next.endpoint;
    }
}

/// A place among the requests the service takes at once.
pub(super) async fn enter(balancer: &Balancer) -> Result<Option<Place>, Failure> {
    match balancer.state.queue() {
        Some(queue) => queue.enter().await.map(Some).ok_or(Failure::Busy),
        None => Ok(None),
    }
}

/// Tells the service what became of a request, unless it was the client who broke off.
pub(super) fn observe(
    balancer: &Balancer,
    endpoint: &Endpoint,
    sent: &Result<Response<AnswerBody>, SendError>,
    begun: Instant,
) {
    let outcome = match sent {
        Ok(answer) => Outcome::Answered(answer.status().as_u16()),
        Err(SendError { failure: Failure::Client | Failure::SlowBody, .. }) => return,
        Err(_) => Outcome::Failed,
    };
    balance::watch(balancer, endpoint, outcome, begun);
}

/// Puts the path of an endpoint's URL before the request's, in place of the one of an endpoint tried before.
pub(super) fn put_before(before: &str, endpoint: &Endpoint, target: &mut Uri) {
    if before == endpoint.path {
        return;
    }
    let whole = target.path_and_query().map_or("/", |target| target.as_str());
    let joined = format!("{}{}", endpoint.path, whole.strip_prefix(before).unwrap_or(whole));
    if let Ok(joined) = PathAndQuery::try_from(joined) {
        let mut parts = std::mem::take(target).into_parts();
        parts.path_and_query = Some(joined);
        *target = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// Whether a failure has to be told as a gRPC status. Calls come over HTTP/2 only.
fn is_grpc(head: &request::Parts) -> bool {
    head.version == Version::HTTP_2
        && head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The head as it is before it is finished, where response hooks may ask about it or have it sent again.
pub(super) fn kept_head(exchange: &Exchange, keep: bool) -> Option<request::Parts> {
    keep.then(|| exchange.head.clone())
}

/// Head through the chain, body frame by frame.
async fn stream_back(
    worker: &Rc<Worker>,
    exchange: Box<Exchange>,
    answer: Response<AnswerBody>,
    lease: Lease,
    mut passed: Vec<Passed>,
    mut trace: Trace,
    extras: &Extras,
) -> Response<Body> {
    let (mut head, incoming) = answer.into_parts();
    for cookie in extras.cookies() {
        head.headers.append(SET_COOKIE, cookie.clone());
    }
    trace.upstream_answered(head.status);
    if !passed.is_empty() {
        trace.grpc(&head.headers);
    }
    // A policy that reads the body reads it as the instance sent it, and what it makes of it is sent as it is.
    let as_sent = bodies::are_wanted(&passed);
    let shown = Some(&incoming).filter(|_| !as_sent);
    let Left { mut exchange, replaced, forms } = chain::leave(worker, exchange, &mut passed, &mut head, shown).await;
    trace.learn(&mut exchange);
    if let Some(replaced) = replaced {
        // The upstream's body is dropped unread, and its connection with it.
        return finish_whole(worker, exchange, replaced, passed, trace).await;
    }
    if as_sent {
        let response = Response::from_parts(head, again::fetched(worker, incoming, lease));
        return finish_whole(worker, exchange, response, passed, trace).await;
    }
    finish_response(&mut head, &mut exchange, false);
    let ending = Ending::new(Rc::clone(worker), lease, passed, trace, head.status);
    if incoming.is_end_stream() && forms.is_empty() {
        ending.complete(incoming);
        return Response::from_parts(head, Body::Empty);
    }
    let mut body: Box<dyn Streaming> = Box::new(UpstreamBody::new(incoming, ending, worker.settings.response_idle));
    for form in forms {
        body = match form {
            Form::Coded(coding) => compressed(body, coding),
            Form::GrpcWeb => grpc_web::framed(body, false),
            Form::GrpcWebText => grpc_web::framed(body, true),
        };
    }
    Response::from_parts(head, Body::Streaming(body))
}

/// An answer whose body policies have to do with, on its way out.
async fn finish_whole(
    worker: &Rc<Worker>,
    exchange: Box<Exchange>,
    response: Response<Body>,
    passed: Vec<Passed>,
    trace: Trace,
) -> Response<Body> {
    let (mut exchange, response) = Box::pin(bodies::of_response(worker, exchange, &passed, response)).await;
    let (mut head, body) = response.into_parts();
    finish_response(&mut head, &mut exchange, false);
    trace.answered(Response::from_parts(head, body), passed)
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
    let (Some(client_side), Some(upstream), Some(_)) = (client_side, upstream_side, &exchange.upgrade) else {
        // A switch nobody asked for.
        trace.note(Failure::Protocol);
        return trace.answered(reply_to(Failure::Protocol), passed);
    };
    finish_response(&mut head, &mut exchange, true);
    let connection = Arc::clone(&exchange.client);
    connection.switch();
    let websocket = exchange.upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let status = head.status;
    tokio::task::spawn_local(async move {
        let sent = match client_side.await {
            Ok(client) => tunnel::join(TokioIo::new(client), upstream, websocket, connection.switch()).await,
            Err(_) => 0,
        };
        drop(lease);
        connection.switch().end();
        trace.ended(status, sent, passed);
    });
    Response::from_parts(head, Body::Empty)
}
