//! Second answers: the one of another service, or of the same one asked again, in place of one that is discarded.
//!
//! Takes an exchange whose answer a policy does not want; gives another answer. The exchange's head is kept as it was
//! before it was first sent, so that it is finished anew for each sending.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::http::request;
use hyper::{Request, Response, StatusCode};

use super::{Worker, forward, tries};
use crate::balance::{self, Asking, Lease};
use crate::http::{Body, BodyError, Exchange, Failure, RequestBody, Sendable, Streaming, finish_request, reply_to};
use crate::live::{Balancer, Kind, Service};
use crate::policy::Reroute;
use crate::timer::Idle;
use crate::upstream::{AnswerBody, SendError};

/// How often one exchange may be sent at the most.
const MOST_ATTEMPTS: u32 = 10;

/// The service a policy named: of the route's provider, unless the name says which.
pub(super) fn find(worker: &Worker, exchange: &Exchange, name: &str) -> Result<Arc<Service>, String> {
    let generation = worker.generation();
    let provider =
        exchange.route.as_deref().and_then(|route| route.rsplit_once('@')).map_or("", |(_, provider)| provider);
    let found =
        generation.services.get(name).or_else(|| generation.services.get(format!("{name}@{provider}").as_str()));
    found.map(Arc::clone).ok_or_else(|| format!("there is no service `{name}`"))
}

/// Sends a request on to another service, before it was sent anywhere.
pub(super) fn redirect(worker: &Worker, exchange: &mut Exchange, mut reroute: Reroute) -> Result<Arc<Service>, String> {
    let service = find(worker, exchange, &reroute.service)?;
    begin(exchange)?;
    reroute.apply(exchange)?;
    exchange.service = Some(Arc::clone(&service.name));
    exchange.notes().patience = reroute.timeout;
    Ok(service)
}

/// The answer of another service, or what takes its place where it gave none; and whether it gave one.
///
/// # Errors
/// There is no such service, or the exchange went to another one before.
pub(super) async fn substitute(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    mut reroute: Reroute,
    discarded: StatusCode,
) -> Result<(Response<Body>, bool), String> {
    let service = find(worker, exchange, &reroute.service)?;
    begin(exchange)?;
    reroute.apply(exchange)?;
    if exchange.body == Sendable::Gone {
        exchange.forget_body();
    }
    exchange.service = Some(Arc::clone(&service.name));
    exchange.notes().tried.clear();
    let answer = async {
        match balancer_of(&service, exchange) {
            Some(balancer) => send(worker, balancer, exchange).await,
            None => Err(Failure::NoInstance),
        }
    };
    let answer = within(reroute.timeout, answer).await;
    let answered = answer.is_ok();
    let mut response = answer.unwrap_or_else(reply_to);
    *response.status_mut() = reroute.status.unwrap_or(discarded);
    Ok((response, answered))
}

/// What comes in time, where there is a time for it.
pub(super) async fn within<T>(
    time: Option<Duration>,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match time {
        None => answer.await,
        Some(time) => tokio::time::timeout(time, answer).await.unwrap_or(Err(Failure::ResponseTimeout)),
    }
}

/// The answer of the same service to the same request; `None` where it cannot be sent again.
pub(super) async fn retry(worker: &Rc<Worker>, exchange: &mut Exchange, wait: Duration) -> Option<Response<Body>> {
    let name = exchange.service.clone()?;
    let sendable = matches!(exchange.body, Sendable::Nothing | Sendable::Kept) && exchange.upgrade.is_none();
    if !sendable || exchange.attempts >= MOST_ATTEMPTS {
        return None;
    }
    let service = Arc::clone(worker.generation().services.get(&name)?);
    let balancer = balancer_of(&service, exchange)?;
    let mut retrying = None;
    if !tries::may_retry(balancer, &mut retrying) {
        return None;
    }
    tokio::time::sleep(wait).await;
    Some(send(worker, balancer, exchange).await.unwrap_or_else(reply_to))
}

/// Once for an exchange, so that there are no loops.
fn begin(exchange: &mut Exchange) -> Result<(), String> {
    if exchange.upgrade.is_some() {
        return Err("an exchange that switches protocols cannot go to another service".to_owned());
    }
    match std::mem::replace(&mut exchange.notes().rerouted, true) {
        true => Err("the exchange went to another service before".to_owned()),
        false => Ok(()),
    }
}

async fn send(worker: &Rc<Worker>, balancer: &Balancer, exchange: &mut Exchange) -> Result<Response<Body>, Failure> {
    let mut place = if balancer.limited { forward::enter(balancer).await? } else { None };
    let mut failure = Failure::NoInstance;
    for _ in 0..forward::MOST_TRIES {
        let tried = std::mem::take(&mut exchange.notes().tried);
        let asking = Asking { client: &exchange.client.ip_value, headers: Some(&exchange.head.headers) };
        let picked = balance::pick(balancer, asking, &tried).or_else(|| balance::pick(balancer, asking, &[]));
        let picked = picked.map(|picked| (picked.lease, picked.endpoint));
        exchange.notes().tried = tried;
        let Some((mut lease, endpoint)) = picked else { break };
        if let Some(place) = place.take() {
            lease.hold(place);
        }
        exchange.notes().tried.push(lease.instance().id);
        exchange.attempts += 1;
        let kept = exchange.head.clone();
        let own_host = (!balancer.pass_host_header).then_some(&endpoint.host);
        finish_request(exchange, own_host, &worker.settings.server_name).add_to(&mut exchange.head.headers);
        forward::put_before("", endpoint, &mut exchange.head.uri);
        let head: request::Parts = std::mem::replace(&mut exchange.head, kept);
        let is_kept = exchange.body == Sendable::Kept;
        let held = exchange.notes().body.as_ref().filter(|_| is_kept);
        let body = held.map_or_else(|| RequestBody::whole(Bytes::new()), |held| RequestBody::again(held.replay()));
        let request = Request::from_parts(head, body);
        match worker.pool.send(lease.instance(), request, false).await {
            Ok(answer) => {
                let (head, incoming) = answer.into_parts();
                return Ok(Response::from_parts(head, fetched(worker, incoming, lease)));
            }
            Err(SendError { failure: why, unsent, cause }) => {
                lease.instance().failed(cause);
                failure = why;
                if unsent.is_none() {
                    break;
                }
            }
        }
    }
    Err(failure)
}

/// The part of a service that answers. Chains of parts are not gone through a second time.
fn balancer_of<'a>(service: &'a Service, exchange: &Exchange) -> Option<&'a Balancer> {
    let mut at = service;
    loop {
        at = match &at.kind {
            Kind::Balancer(balancer) => return Some(balancer),
            Kind::Weighted(weighted) => {
                let asking = Asking { client: &exchange.client.ip_value, headers: Some(&exchange.head.headers) };
                &balance::choose(weighted, asking)?.part.service
            }
            Kind::Mirroring(mirroring) => &mirroring.main,
            Kind::Failover(failover) => match &failover.fallback {
                Some(fallback) if !failover.main.is_up() => fallback,
                _ => &failover.main,
            },
        };
    }
}

/// The body of an answer that policies still have to do with.
pub(super) fn fetched(worker: &Rc<Worker>, incoming: AnswerBody, lease: Lease) -> Body {
    let idle = Idle::new(worker.settings.response_idle);
    let mut body = Fetched { worker: Rc::clone(worker), incoming, idle, lease: Some(lease) };
    if body.is_end_stream() {
        body.let_go();
        return Body::Empty;
    }
    Body::Streaming(Box::new(body))
}

/// The body of a second answer; its connection is kept once it has been read.
struct Fetched {
    worker: Rc<Worker>,
    incoming: AnswerBody,
    idle: Idle,
    lease: Option<Lease>,
}

impl Fetched {
    fn let_go(&mut self) {
        self.lease = None;
        if let Some(connection) = self.incoming.take_connection() {
            self.worker.pool.give_back(connection);
        }
    }
}

impl HttpBody for Fetched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(frame)) => {
                this.idle.reset();
                if this.incoming.is_end_stream() {
                    this.let_go();
                }
                Poll::Ready(Some(frame))
            }
            Poll::Ready(None) => {
                this.let_go();
                Poll::Ready(None)
            }
            Poll::Pending => this.idle.poll_stalled(cx).map(|limit| Some(Err(BodyError::Stalled(limit)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Streaming for Fetched {}
