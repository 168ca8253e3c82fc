//! Sending with a plan: requests that may be sent more than once, and bodies that are read to their end first, because a
//! step of the chain says so. Requests without such steps never come here.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode};
use sluice_model::action::Retry;
use sluice_model::retry::Attempt;

use super::Worker;
use super::composite::Extras;
use super::forward::{self, MOST_TRIES, Sent};
use super::steps::content_type;
use super::trace::Trace;
use crate::balance::{self, Asking, Picked};
use crate::http::{BodyError, Exchange, Failure, Held, HoldLimits, RequestBody, Taken, finish_request};
use crate::live::native::{BodyLimits, Buffering};
use crate::live::{Balancer, Endpoint};
use crate::state::RetryPermit;
use crate::timer::Idle;
use crate::upstream::{AnswerBody, SendError};

/// What the steps of a chain want done, beyond passing request and answer on.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) retry: Option<Arc<Retry>>,
    pub(super) buffering: Option<Arc<Buffering>>,
    /// A missing `Content-Type` is guessed.
    pub(super) guess_type: bool,
    /// The request's body is base64 and goes on as what it stands for.
    pub(super) from_base64: bool,
}

/// As often a retry expression may ask for one more try, as in Traefik.
const MOST_ROUNDS: u64 = 10;

/// Sends a request as its plan says.
#[expect(clippy::too_many_arguments, reason = "what a request has gathered on its way")]
pub(super) async fn send(
    worker: &Rc<Worker>,
    balancer: &Balancer,
    exchange: &mut Exchange,
    body: RequestBody,
    plan: &Plan,
    keep: bool,
    trace: &mut Trace,
    extras: &mut Extras,
) -> Result<Sent, Failure> {
    let body = if plan.from_base64 { body.from_base64() } else { body };
    let body = hold(plan, &exchange.head.method, body).await?;
    let place = if balancer.limited { forward::enter(balancer).await? } else { None };
    let asking = Asking { client: exchange.ip_value(), headers: Some(&exchange.head.headers) };
    let first = balance::pick(balancer, asking, &[]).ok_or(Failure::NoInstance)?;
    extras.set(first.cookie);
    let (method, upgrade) = (exchange.head.method.clone(), exchange.upgrade.is_some());
    let kept = forward::kept_head(exchange, keep);
    if keep {
        exchange.notes().tried.push(first.lease.instance().id);
    }
    finish_request(exchange, None, &worker.settings.server_name);
    extras.send_copies(worker, &exchange.head, &exchange.authority);
    let head = std::mem::replace(&mut exchange.head, kept.unwrap_or_else(|| Request::new(()).into_parts().0));
    exchange.attempts += 1;
    let (first, client) = (Some(first), exchange.ip_value());
    let mut sending = Sending { worker, balancer, plan, head, body, upgrade, client, first };
    let (mut number, mut retrying) = (0, None);
    let outcome = loop {
        number += 1;
        let outcome = sending.tries(trace, extras).await;
        let code = match &outcome {
            Ok((answer, _)) => answer.status(),
            Err(failure) => failure.status(),
        };
        let attempt = Attempt { number, code: code.as_u16(), method: method.as_str() };
        let wanted = number <= MOST_ROUNDS && plan.asks_again(&attempt);
        if !wanted || !may_retry(balancer, &mut retrying) {
            break outcome;
        }
        sending.discard(outcome);
    };
    let (answer, mut lease) = outcome?;
    if let Some(place) = place {
        lease.hold(place);
    }
    Ok((receive(worker, plan, answer).await?, lease))
}

/// A request on its way to one instance after the other.
struct Sending<'a> {
    worker: &'a Rc<Worker>,
    balancer: &'a Balancer,
    plan: &'a Plan,
    head: request::Parts,
    body: Sendable,
    upgrade: bool,
    client: &'a HeaderValue,
    /// The instance to begin with.
    first: Option<Picked<'a>>,
}

enum Sendable {
    /// Gone once it has been sent.
    Once(Option<Box<RequestBody>>),
    Many(Held),
}

impl<'a> Sending<'a> {
    /// Tries instances until one answers as wanted or the retry step's limits are reached.
    async fn tries(&mut self, trace: &mut Trace, extras: &mut Extras) -> Result<Sent, Failure> {
        let (retry, begun) = (self.plan.retry.as_deref(), Instant::now());
        let most = retry.map_or(MOST_TRIES, |retry| usize::try_from(retry.attempts).unwrap_or(usize::MAX).max(1));
        let (mut tried, mut number, mut retrying, mut cookie) = (Vec::new(), 0, None, None);
        let mut last = Err(Failure::NoInstance);
        loop {
            let Some(picked) = self.pick(&tried) else { return last };
            extras.set_instead(cookie, picked.cookie);
            let Picked { lease, endpoint, cookie: set } = picked;
            cookie = set;
            let request = self.request(endpoint).ok_or(Failure::Connect)?;
            number += 1;
            tried.push(lease.instance().id);
            trace.trying(lease.instance());
            let at = Instant::now();
            let sent = self.worker.pool.send(lease.instance(), request, self.upgrade).await;
            if self.balancer.watches {
                forward::observe(self.balancer, endpoint, &sent, at);
            }
            last = match sent {
                Ok(answer) => Ok((answer, lease)),
                Err(error) => {
                    trace.upstream_failed(lease.instance(), &error);
                    let SendError { failure, unsent: Some(unsent), .. } = error else { return Err(error.failure) };
                    self.take_back(unsent);
                    Err(failure)
                }
            };
            let late = retry.is_some_and(|retry| !retry.timeout.is_zero() && begun.elapsed() >= retry.timeout);
            if number >= most || late || !self.wants_another(&last) {
                return last;
            }
            if let Some(retry) = retry {
                if !may_retry(self.balancer, &mut retrying) {
                    return last;
                }
                self.discard(std::mem::replace(&mut last, Err(Failure::NoInstance)));
                pause(retry, number).await;
            }
        }
    }

    /// The next instance. Where a retry step goes on after every instance had its turn, they may have another one.
    fn pick(&mut self, tried: &[u32]) -> Option<Picked<'a>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let asking = Asking { client: self.client, headers: None };
        let picked = balance::pick(self.balancer, asking, tried);
        picked.or_else(|| self.plan.retry.is_some().then(|| balance::pick(self.balancer, asking, &[])).flatten())
    }

    fn request(&mut self, endpoint: &Endpoint) -> Option<Request<RequestBody>> {
        let body = match &mut self.body {
            Sendable::Once(body) => *body.take()?,
            Sendable::Many(held) => RequestBody::again(held.replay()),
        };
        let mut head = self.head.clone();
        forward::put_before("", endpoint, &mut head.uri);
        if !self.balancer.pass_host_header {
            head.headers.insert(HOST, endpoint.host.clone());
        }
        Some(Request::from_parts(head, body))
    }

    fn take_back(&mut self, unsent: Request<RequestBody>) {
        if let Sendable::Once(body) = &mut self.body {
            *body = Some(Box::new(unsent.into_body()));
        }
    }

    fn wants_another(&self, outcome: &Result<Sent, Failure>) -> bool {
        match (outcome, self.plan.retry.as_deref()) {
            (Err(_), retry) => retry.is_none_or(|retry| retry.on_network_error),
            (Ok(_), None) => false,
            (Ok((answer, _)), Some(retry)) => {
                let status = answer.status().as_u16();
                let listed = retry.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status));
                listed && matches!(self.body, Sendable::Many(_)) && may_repeat(retry, &self.head.method)
            }
        }
    }

    /// An answer nobody gets. Without a body its connection can be used again.
    fn discard(&self, outcome: Result<Sent, Failure>) {
        if let Ok((mut answer, _)) = outcome
            && let Some(connection) = answer.body_mut().take_connection()
        {
            self.worker.pool.give_back(connection);
        }
    }
}

impl Plan {
    fn asks_again(&self, attempt: &Attempt<'_>) -> bool {
        let expression = self.buffering.as_ref().and_then(|buffering| buffering.again.as_ref());
        expression.is_some_and(|expression| expression.holds(attempt))
    }
}

/// Reads the request's body to its end where the plan needs it whole.
async fn hold(plan: &Plan, method: &Method, mut body: RequestBody) -> Result<Sendable, Failure> {
    let limits = match (&plan.buffering, &plan.retry) {
        (Some(buffering), _) => of(buffering.request),
        (None, Some(retry)) if !retry.statuses.is_empty() && may_repeat(retry, method) => {
            HoldLimits { most: retry.max_body, in_memory: retry.max_body }
        }
        _ => return Ok(Sendable::Once(Some(Box::new(body)))),
    };
    match Held::take(&mut body, limits).await {
        Ok(Taken::Whole(held)) => Ok(Sendable::Many(held)),
        Ok(Taken::TooLong(_)) if plan.buffering.is_some() => Err(Failure::BodyTooLarge),
        Ok(Taken::TooLong(begun)) => Ok(Sendable::Once(Some(Box::new(body.put_back(begun))))),
        Err(BodyError::Stalled(_) | BodyError::Slow(_)) => Err(Failure::SlowBody),
        Err(BodyError::TooLarge(_)) => Err(Failure::LargeBody),
        Err(BodyError::Lost(error)) => Err(storage(&error)),
        Err(BodyError::Broken(_) | BodyError::Io(_) | BodyError::NotBase64) => Err(Failure::Client),
    }
}

/// The answer as the plan wants it.
async fn receive(
    worker: &Rc<Worker>,
    plan: &Plan,
    answer: Response<AnswerBody>,
) -> Result<Response<AnswerBody>, Failure> {
    let (mut head, mut body) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Response::from_parts(head, body));
    }
    let idle = worker.settings.response_idle;
    if let Some(buffering) = &plan.buffering {
        let taken = Held::take(&mut Watched { body: &mut body, idle: Idle::new(idle) }, of(buffering.response)).await;
        let Taken::Whole(held) = taken.map_err(|error| broken(&error))? else { return Err(Failure::AnswerTooLarge) };
        if let Some(connection) = body.take_connection() {
            worker.pool.give_back(connection);
        }
        body = AnswerBody::Held(Box::new(held.replay()));
    }
    if plan.guess_type && content_type::is_missing(&head) {
        let mut watched = Watched { body: &mut body, idle: Idle::new(idle) };
        let frame = poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await.transpose();
        if let Some(Ok(begun)) = frame.map_err(|error| broken(&error))?.map(Frame::into_data) {
            content_type::set(&mut head, &begun);
            body = AnswerBody::Begun(Box::new((Some(begun), body)));
        }
    }
    Ok(Response::from_parts(head, body))
}

/// What an answer means that breaks off while it is read.
fn broken(error: &BodyError) -> Failure {
    match error {
        BodyError::Stalled(_) => Failure::ResponseTimeout,
        BodyError::Lost(error) => storage(error),
        _ => Failure::Protocol,
    }
}

/// An answer's body that may not stall.
struct Watched<'a> {
    body: &'a mut AnswerBody,
    idle: Idle,
}

impl Body for Watched<'_> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut *this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.idle.reset();
                Poll::Ready(frame)
            }
            Poll::Pending => this.idle.poll_stalled(cx).map(|limit| Some(Err(BodyError::Stalled(limit)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn of(limits: BodyLimits) -> HoldLimits {
    HoldLimits { most: limits.most, in_memory: limits.in_memory }
}

fn storage(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "a body could not be kept in a temporary file");
    Failure::Storage
}

/// Whether a request may be sent again although an instance has acted on it.
fn may_repeat(retry: &Retry, method: &Method) -> bool {
    retry.non_idempotent || !matches!(method.as_str(), "POST" | "PATCH" | "LOCK")
}

/// Whether the service can bear one more retry. A request keeps its place until it is done.
fn may_retry(balancer: &Balancer, retrying: &mut Option<RetryPermit>) -> bool {
    if retrying.is_none() {
        let in_flight = balancer.endpoints.iter().map(|endpoint| endpoint.instance.in_flight()).sum();
        *retrying = balancer.state.retries().begin(in_flight);
    }
    retrying.is_some()
}

/// The pauses grow evenly from the first one to twice that, and are shortened by chance so that clients do not come
/// back together.
async fn pause(retry: &Retry, tries_made: usize) {
    let longest = pause_before_jitter(retry, tries_made);
    if !longest.is_zero() {
        tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

fn pause_before_jitter(retry: &Retry, tries_made: usize) -> Duration {
    let pauses = f64::from(retry.attempts.saturating_sub(1).max(1));
    let made = u32::try_from(tries_made.saturating_sub(1)).unwrap_or(u32::MAX);
    let growth = (f64::from(made) / pauses).exp2();
    retry.initial_interval.mul_f64(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_below_twice_the_first() {
        let retry = Retry { attempts: 5, initial_interval: Duration::from_secs(1), ..Retry::default() };
        let pauses: Vec<_> = (1..=4).map(|made| pause_before_jitter(&retry, made)).collect();
        assert_eq!(pauses.first(), Some(&Duration::from_secs(1)));
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause < Duration::from_secs(2)), "{pauses:?}");
        let never = Retry { attempts: 5, ..Retry::default() };
        assert_eq!(pause_before_jitter(&never, 3), Duration::ZERO);
    }

    #[test]
    fn only_some_methods_are_repeated_after_an_answer() {
        let retry = Retry::default();
        assert!(may_repeat(&retry, &Method::GET) && may_repeat(&retry, &Method::DELETE));
        assert!(!may_repeat(&retry, &Method::POST) && !may_repeat(&retry, &Method::PATCH));
        assert!(may_repeat(&Retry { non_idempotent: true, ..retry }, &Method::POST));
    }
}
