//! Sending with a plan: requests that may be sent more than once, and bodies that are read to their end first, because a
//! step of the chain says so. Requests without such steps never come here.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Method, Request, Response, StatusCode};
use sluice_model::action::Retry;
use sluice_model::retry::Attempt;

use super::Worker;
use super::composite::Extras;
use super::forward::{self, Sent};
use super::steps::content_type;
use super::trace::Trace;
use super::tries::{self, Sendable, Sending, may_repeat};
use crate::balance::{self, Asking};
use crate::http::{BodyError, Exchange, Failure, Held, HoldLimits, RequestBody, Taken, finish_request};
use crate::live::Balancer;
use crate::live::native::{BodyLimits, Buffering};
use crate::timer::Idle;
use crate::upstream::AnswerBody;

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
    if let (true, Sendable::Many(held)) = (keep, &body) {
        // A policy may want it sent again, too.
        exchange.keep_body(held.clone());
    }
    let place = if balancer.limited { forward::enter(balancer).await? } else { None };
    let asking = Asking { client: exchange.ip_value(), headers: Some(&exchange.head.headers) };
    let first = balance::pick(balancer, asking, &[]).ok_or(Failure::NoInstance)?;
    extras.set(first.cookie);
    let (method, upgrade) = (exchange.head.method.clone(), exchange.upgrade.is_some());
    let kept = forward::kept_head(exchange, keep);
    if keep {
        exchange.notes().tried.push(first.lease.instance().id);
    }
    finish_request(exchange, None, &worker.settings.server_name).add_to(&mut exchange.head.headers);
    extras.send_copies(worker, &exchange.head, &exchange.authority);
    let head = std::mem::replace(&mut exchange.head, kept.unwrap_or_else(|| Request::new(()).into_parts().0));
    exchange.attempts += 1;
    let (first, client) = (Some(first), exchange.ip_value());
    let mut sending = Sending { worker, balancer, plan, head, body, upgrade, client, first };
    let (mut number, mut retrying) = (0, None);
    let outcome = loop {
        number += 1;
        let outcome = sending.tries(&mut retrying, trace, extras).await;
        let code = match &outcome {
            Ok((answer, _)) => answer.status(),
            Err(failure) => failure.status(),
        };
        let attempt = Attempt { number, code: code.as_u16(), method: method.as_str() };
        let wanted = number <= MOST_ROUNDS && plan.asks_again(&attempt);
        if !wanted || !tries::may_retry(balancer, &mut retrying) {
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
        (None, Some(retry)) if tries::needs_whole(retry) && may_repeat(retry, method) => {
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
