//! A planned request on its way to one instance after the other, or to two at once: what a retry step adds to a sending.
//!
//! Takes a request that can be built as often as its body allows; gives the first answer that is wanted, or the last one
//! there is. How many of a service's requests may be second ones at a time is the service's business, not the step's.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::header::{HOST, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response};
use sluice_model::action::Retry;
use tokio::time::{sleep, timeout};

use super::Worker;
use super::composite::Extras;
use super::forward::{self, MOST_TRIES, Sent};
use super::planned::Plan;
use super::trace::Trace;
use crate::balance::{self, Asking, Picked};
use crate::http::{Failure, Held, RequestBody};
use crate::live::{Balancer, Endpoint};
use crate::state::{InstanceState, RetryPermit};
use crate::upstream::{AnswerBody, SendError};

/// A request on its way to one instance after the other.
pub(super) struct Sending<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) balancer: &'a Balancer,
    pub(super) plan: &'a Plan,
    pub(super) head: request::Parts,
    pub(super) body: Sendable,
    pub(super) upgrade: bool,
    pub(super) client: &'a HeaderValue,
    /// The instance to begin with.
    pub(super) first: Option<Picked<'a>>,
}

/// What is sent with it.
pub(super) enum Sendable {
    /// Gone once it has been sent.
    Once(Option<Box<RequestBody>>),
    Many(Held),
}

/// What an instance said.
type Said = Result<Response<AnswerBody>, SendError>;

impl<'a> Sending<'a> {
    /// Tries instances until one answers as wanted or the retry step's limits are reached.
    pub(super) async fn tries(
        &mut self,
        retrying: &mut Option<RetryPermit>,
        trace: &mut Trace,
        extras: &mut Extras,
    ) -> Result<Sent, Failure> {
        let (retry, begun) = (self.plan.retry.as_deref(), Instant::now());
        let most = retry.map_or(MOST_TRIES, |retry| usize::try_from(retry.attempts).unwrap_or(usize::MAX).max(1));
        let (mut tried, mut number, mut cookie) = (Vec::new(), 0, None);
        let mut last = Err(Failure::NoInstance);
        loop {
            let Some(picked) = self.pick(&tried) else { return last };
            let request = self.request(picked.endpoint).ok_or(Failure::Connect)?;
            number += 1;
            let (said, picked) = self.one(picked, request, &mut tried, retrying, trace).await;
            extras.set_instead(cookie, picked.cookie);
            cookie = picked.cookie;
            last = match said {
                Ok(answer) => Ok((answer, picked.lease)),
                Err(error) => {
                    trace.upstream_failed(picked.lease.instance(), &error);
                    Err(self.after_failure(error)?)
                }
            };
            let late = retry.is_some_and(|retry| !retry.timeout.is_zero() && begun.elapsed() >= retry.timeout);
            if number >= most || late || !self.wants_another(&last) {
                return last;
            }
            if let Some(retry) = retry {
                if !may_retry(self.balancer, retrying) {
                    return last;
                }
                self.discard(std::mem::replace(&mut last, Err(Failure::NoInstance)));
                pause(retry, number).await;
            }
        }
    }

    /// One try: at an instance, or at a second one as well where the first takes long. Answers who had the last word.
    async fn one(
        &self,
        first: Picked<'a>,
        request: Request<RequestBody>,
        tried: &mut Vec<u32>,
        retrying: &mut Option<RetryPermit>,
        trace: &mut Trace,
    ) -> (Said, Picked<'a>) {
        let instance = Arc::clone(first.lease.instance());
        tried.push(instance.id);
        trace.trying(&instance);
        let at = Instant::now();
        let mut sent = pin!(self.send(&instance, request));
        let hedge_after = self.plan.retry.as_deref().map_or(Duration::ZERO, |retry| retry.hedge_after);
        let is_hedged = !hedge_after.is_zero() && self.may_hedge();
        let said = if is_hedged { timeout(hedge_after, sent.as_mut()).await.ok() } else { Some(sent.as_mut().await) };
        if let Some(said) = said {
            self.observe(first.endpoint, &said, at);
            return (said, first);
        }
        let Some((second, request)) = self.second(tried, retrying) else {
            let said = sent.await;
            self.observe(first.endpoint, &said, at);
            return (said, first);
        };
        let other = Arc::clone(second.lease.instance());
        tried.push(other.id);
        trace.trying(&other);
        let second_at = Instant::now();
        let mut also = pin!(self.send(&other, request));
        let (said, by_first) = first_answer(sent.as_mut(), also.as_mut()).await;
        let (winner, at) = if by_first { (first, at) } else { (second, second_at) };
        trace.answered_by(winner.lease.instance());
        self.observe(winner.endpoint, &said, at);
        (said, winner)
    }

    async fn send(&self, instance: &Arc<InstanceState>, request: Request<RequestBody>) -> Said {
        let sending = self.worker.pool.send(instance, request, self.upgrade);
        match self.plan.retry.as_deref().map(|retry| retry.try_timeout).filter(|limit| !limit.is_zero()) {
            None => sending.await,
            Some(limit) => match timeout(limit, sending).await {
                Ok(said) => said,
                Err(_) => Err(SendError::late()),
            },
        }
    }

    /// Whether the same request may be with two instances at once.
    fn may_hedge(&self) -> bool {
        let safe = matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        safe && !self.upgrade && matches!(&self.body, Sendable::Many(held) if held.is_empty())
    }

    /// Another instance and the request for it, if there is one and the service can bear it.
    fn second(&self, tried: &[u32], retrying: &mut Option<RetryPermit>) -> Option<(Picked<'a>, Request<RequestBody>)> {
        let Sendable::Many(held) = &self.body else { return None };
        let asking = Asking { client: self.client, headers: None };
        let picked = balance::pick(self.balancer, asking, tried)?;
        if !may_retry(self.balancer, retrying) {
            return None;
        }
        let request = self.request_with(picked.endpoint, RequestBody::again(held.replay()));
        Some((picked, request))
    }

    fn observe(&self, endpoint: &Endpoint, said: &Said, at: Instant) {
        if self.balancer.watches {
            forward::observe(self.balancer, endpoint, said, at);
        }
    }

    /// What failed, where the request can be tried elsewhere.
    fn after_failure(&mut self, error: SendError) -> Result<Failure, Failure> {
        match error {
            SendError { failure, unsent: Some(unsent), .. } => {
                if let Sendable::Once(body) = &mut self.body {
                    *body = Some(Box::new(unsent.into_body()));
                }
                Ok(failure)
            }
            SendError { failure: Failure::ResponseTimeout, .. } if self.may_follow_a_timeout() => {
                Ok(Failure::ResponseTimeout)
            }
            SendError { failure, .. } => Err(failure),
        }
    }

    /// Whether a request that an instance may have acted on, and that took too long, may be sent again.
    fn may_follow_a_timeout(&self) -> bool {
        let Some(retry) = self.plan.retry.as_deref() else { return false };
        !retry.try_timeout.is_zero() && matches!(self.body, Sendable::Many(_)) && may_repeat(retry, &self.head.method)
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
        Some(self.request_with(endpoint, body))
    }

    fn request_with(&self, endpoint: &Endpoint, body: RequestBody) -> Request<RequestBody> {
        let mut head = self.head.clone();
        forward::put_before("", endpoint, &mut head.uri);
        if !self.balancer.pass_host_header {
            head.headers.insert(HOST, endpoint.host.clone());
        }
        Request::from_parts(head, body)
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
    pub(super) fn discard(&self, outcome: Result<Sent, Failure>) {
        if let Ok((mut answer, _)) = outcome
            && let Some(connection) = answer.body_mut().take_connection()
        {
            self.worker.pool.give_back(connection);
        }
    }
}

/// The first answer of two, or the last failure; and whether it is the first one's. The other is given up.
async fn first_answer(
    mut first: Pin<&mut impl Future<Output = Said>>,
    mut second: Pin<&mut impl Future<Output = Said>>,
) -> (Said, bool) {
    let (mut first_failed, mut second_failed) = (false, false);
    poll_fn(|cx: &mut Context<'_>| {
        if !first_failed && let Poll::Ready(said) = first.as_mut().poll(cx) {
            if said.is_ok() || second_failed {
                return Poll::Ready((said, true));
            }
            first_failed = true;
        }
        if !second_failed && let Poll::Ready(said) = second.as_mut().poll(cx) {
            if said.is_ok() || first_failed {
                return Poll::Ready((said, false));
            }
            second_failed = true;
        }
        Poll::Pending
    })
    .await
}

/// Whether a retry step may send a request again that an instance has had as a whole.
pub(super) fn needs_whole(retry: &Retry) -> bool {
    !retry.statuses.is_empty() || !retry.try_timeout.is_zero() || !retry.hedge_after.is_zero()
}

/// Whether a request may be sent again although an instance has acted on it.
pub(super) fn may_repeat(retry: &Retry, method: &Method) -> bool {
    retry.non_idempotent || !matches!(method.as_str(), "POST" | "PATCH" | "LOCK")
}

/// Whether the service can bear one more request that is not its client's first. A request keeps its place until it is
/// done.
pub(super) fn may_retry(balancer: &Balancer, retrying: &mut Option<RetryPermit>) -> bool {
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
        sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
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
    use std::future::{pending, ready};
    use std::task::Waker;

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

    #[test]
    fn a_failure_waits_for_the_other_one() {
        let failed = || ready(Err(SendError::late()));
        let mut cx = Context::from_waker(Waker::noop());
        let waits = pin!(first_answer(pin!(pending()), pin!(failed()))).as_mut().poll(&mut cx).is_pending();
        let both = pin!(first_answer(pin!(failed()), pin!(failed()))).as_mut().poll(&mut cx);
        assert!(waits && matches!(both, Poll::Ready((Err(_), false))));
    }
}
