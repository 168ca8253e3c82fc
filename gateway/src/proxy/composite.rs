//! Services that are put together from others: finding the part that answers, and second tries.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request;
use hyper::{Response, StatusCode};
use tokio::sync::oneshot;

use super::Worker;
use super::chain::{self, Passed, Stopped};
use super::forward::deliver;
use super::mirror::{self, Copy};
use super::planned::Plan;
use super::trace::Trace;
use crate::balance::{self, Asking};
use crate::http::{Body, Exchange, Failure, RequestBody};
use crate::live::{Failover, Kind, Service};

/// What goes along with a request besides itself. Nothing, for most.
#[derive(Default)]
pub(super) struct Extras {
    cookies: Vec<HeaderValue>,
    copies: Vec<Copy>,
    second: Option<Box<Second>>,
    /// What steps want done besides passing request and answer on.
    pub(super) plan: Option<Box<Plan>>,
}

/// A request kept to be sent a second time, to the fallback of a service.
pub(super) struct Second {
    fallback: Arc<Service>,
    statuses: Vec<(u16, u16)>,
    head: request::Parts,
    body: oneshot::Receiver<Bytes>,
}

impl Extras {
    /// Nothing but a plan, if there is one.
    pub(super) fn with(plan: Option<Box<Plan>>) -> Self {
        Self { plan, ..Self::default() }
    }

    /// A cookie to set with the answer.
    pub(super) fn set(&mut self, cookie: Option<&HeaderValue>) {
        self.cookies.extend(cookie.cloned());
    }

    /// The same, in place of one that is of no use any more.
    pub(super) fn set_instead(&mut self, before: Option<&HeaderValue>, cookie: Option<&HeaderValue>) {
        if let Some(before) = before {
            self.cookies.retain(|known| known != before);
        }
        self.set(cookie);
    }

    pub(super) fn cookies(&self) -> &[HeaderValue] {
        &self.cookies
    }

    pub(super) fn has_copies(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Sends copies of a request whose head is finished.
    pub(super) fn send_copies(&mut self, worker: &Rc<Worker>, head: &request::Parts, authority: &HeaderValue) {
        for copy in self.copies.drain(..) {
            mirror::start(worker, copy, head, authority);
        }
    }

    /// What to send in place of an answer of this status, an instance's or one that a failure would get, where it is to be
    /// replaced and the request can be sent again.
    pub(super) fn replacement(&mut self, status: StatusCode) -> Option<(Box<Second>, Bytes)> {
        let mut second = self.second.take()?;
        let status = status.as_u16();
        if !second.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
            return None;
        }
        let body = second.body.try_recv().ok()?;
        Some((second, body))
    }

    /// The service that answers; the request is kept where its answer may have to be replaced.
    fn keep<'a>(&mut self, failover: &'a Failover, exchange: &Exchange, body: &mut RequestBody) -> &'a Arc<Service> {
        let Some(fallback) = &failover.fallback else { return &failover.main };
        if !failover.main.is_up() {
            return fallback;
        }
        if !failover.statuses.is_empty() && exchange.upgrade.is_none() {
            self.second = Some(Box::new(Second {
                fallback: Arc::clone(fallback),
                statuses: failover.statuses.clone(),
                head: exchange.head.clone(),
                body: body.copied(failover.most_body),
            }));
        }
        &failover.main
    }
}

/// Sends the request to the part of the service that answers.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    service: &Service,
    mut exchange: Box<Exchange>,
    mut body: RequestBody,
    mut passed: Vec<Passed>,
    trace: Trace,
    mut extras: Extras,
) -> Response<Body> {
    let mut at = service;
    loop {
        let next = match &at.kind {
            Kind::Balancer(balancer) => {
                return Box::pin(deliver(worker, at, balancer, exchange, body, passed, trace, extras)).await;
            }
            Kind::Weighted(weighted) => {
                let asking = Asking { client: exchange.ip_value(), headers: Some(&exchange.head.headers) };
                let choice = balance::choose(weighted, asking);
                extras.set(choice.as_ref().and_then(|choice| choice.cookie));
                choice.map(|choice| &choice.part.service)
            }
            Kind::Mirroring(mirroring) => {
                if exchange.upgrade.is_none() {
                    extras.copies.extend(mirror::due(mirroring, &mut body));
                }
                Some(&mirroring.main)
            }
            Kind::Failover(failover) => Some(extras.keep(failover, &exchange, &mut body)),
        };
        let Some(next) = next else {
            let stopped = Stopped::Failed(Failure::NoInstance);
            return chain::leave_early(worker, exchange, passed, stopped, trace).await;
        };
        at = next;
        if !at.chain.is_empty() {
            let entered = chain::pass(worker, exchange, &[&at.chain]).await;
            exchange = entered.exchange;
            passed.extend(entered.passed);
            extras.plan = entered.plan.or(extras.plan);
            if let Some(stopped) = entered.stopped {
                return chain::leave_early(worker, exchange, passed, stopped, trace).await;
            }
            if let Some(other) = entered.service {
                return Box::pin(forward(worker, &other, exchange, body, passed, trace, Extras::with(extras.plan)))
                    .await;
            }
        }
    }
}

/// Sends a request that was kept to the fallback, whose answer takes the place of the first one.
pub(super) async fn fall_back(
    worker: &Rc<Worker>,
    (second, body): (Box<Second>, Bytes),
    mut exchange: Box<Exchange>,
    passed: Vec<Passed>,
    trace: Trace,
) -> Response<Body> {
    exchange.head = second.head;
    let fallback = second.fallback;
    Box::pin(forward(worker, &fallback, exchange, RequestBody::whole(body), passed, trace, Extras::default())).await
}
