//! Bodies that policies want as a whole: gathered up to what they may be, shown in order, and sent on.
//!
//! Nothing is gathered where no policy of the exchange asks for it.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{Response, StatusCode};

use super::Worker;
use super::chain::{Passed, Stopped};
use crate::http::{Body, BodyError, Exchange, Failure, Held, RequestBody, Sendable, Streaming, plain, reply_to};
use crate::policy::{self, BodyDecision};

/// What there is of a body.
enum Gathered {
    Whole(Bytes),
    /// It is longer; this much of it has come.
    Longer(VecDeque<Frame<Bytes>>),
}

/// Shows the request's body to the policies that want it. It is gone where the exchange is stopped.
pub(super) async fn of_request(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: &[Passed],
    mut body: RequestBody,
) -> (Box<Exchange>, Result<RequestBody, Stopped>) {
    let wanting = || passed.iter().filter_map(Passed::policy).filter_map(|passed| Some((passed, limit_of(passed)?)));
    fn limit_of(passed: &policy::Passed) -> Option<u64> {
        passed.policy.subscription.request_body
    }
    let Some((limit, too_long)) = wanting().map(|(passed, limit)| (limit, too_long(passed))).min() else {
        return (exchange, Ok(body));
    };
    if body.is_end_stream() || exchange.upgrade.is_some() {
        return (exchange, Ok(body));
    }
    let mut whole = match gather(&mut body, limit).await {
        Ok(Gathered::Whole(whole)) => whole,
        Ok(Gathered::Longer(_)) => {
            let refused = plain(too_long, too_long.canonical_reason().unwrap_or_default());
            return (exchange, Err(Stopped::Answered(refused)));
        }
        Err(BodyError::Stalled(_) | BodyError::Slow(_)) => {
            return (exchange, Err(Stopped::Failed(Failure::SlowBody)));
        }
        Err(BodyError::TooLarge(_)) => {
            let refused = plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large");
            return (exchange, Err(Stopped::Answered(refused)));
        }
        Err(_) => return (exchange, Err(Stopped::Failed(Failure::Client))),
    };
    for (passed, _) in wanting() {
        let (back, decision) = show(worker, passed, exchange, None, &whole).await;
        exchange = back;
        match decision {
            BodyDecision::Keep => {}
            BodyDecision::Replace(body) => whole = body.into(),
            BodyDecision::Respond(response) => return (exchange, Err(Stopped::Answered(response))),
            BodyDecision::Fail => return (exchange, Err(Stopped::Failed(Failure::Policy))),
        }
    }
    exchange.head.headers.remove(TRANSFER_ENCODING);
    exchange.head.headers.remove(CONTENT_LENGTH);
    if whole.is_empty() {
        exchange.body = Sendable::Nothing;
    } else {
        exchange.head.headers.insert(CONTENT_LENGTH, whole.len().into());
        if passed.iter().filter_map(Passed::policy).any(|passed| passed.policy.subscription.on_response) {
            // One of them may want it sent again.
            exchange.keep_body(Held::of(whole.clone()));
        }
    }
    (exchange, Ok(RequestBody::whole(whole)))
}

/// What a body is refused with that is longer than a policy takes.
fn too_long(passed: &policy::Passed) -> StatusCode {
    StatusCode::from_u16(passed.policy.subscription.request_body_status).unwrap_or(StatusCode::PAYLOAD_TOO_LARGE)
}

/// Shows the answer's body to the policies that want it, in reverse order, if it is not longer than each of them takes.
pub(super) async fn of_response(
    worker: &Rc<Worker>,
    mut exchange: Box<Exchange>,
    passed: &[Passed],
    response: Response<Body>,
) -> (Box<Exchange>, Response<Body>) {
    let limit_of = |passed: &policy::Passed| passed.policy.subscription.response_body;
    let wanting = || passed.iter().rev().filter_map(Passed::policy).filter(|passed| limit_of(passed).is_some());
    let Some(limit) = wanting().filter_map(limit_of).max() else { return (exchange, response) };
    let hint = response.body().size_hint();
    if response.body().is_end_stream() || hint.lower() > limit || response.status().is_informational() {
        return (exchange, response);
    }
    let (mut head, mut body) = response.into_parts();
    let mut whole = match gather(&mut body, limit).await {
        Ok(Gathered::Whole(whole)) => whole,
        Ok(Gathered::Longer(begun)) => {
            let body = Body::Streaming(Box::new(Begun { begun, rest: body, known: hint }));
            return (exchange, Response::from_parts(head, body));
        }
        Err(BodyError::Stalled(_)) => return (exchange, reply_to(Failure::ResponseTimeout)),
        Err(_) => return (exchange, reply_to(Failure::Protocol)),
    };
    let mut changed = false;
    for passed in wanting() {
        if limit_of(passed).is_none_or(|limit| whole.len() as u64 > limit) {
            continue;
        }
        let (back, decision) = show(worker, passed, exchange, Some(head.status.as_u16()), &whole).await;
        exchange = back;
        match decision {
            BodyDecision::Keep => continue,
            BodyDecision::Replace(body) => whole = body.into(),
            BodyDecision::Respond(response) => {
                let (other, body) = response.into_parts();
                head = other;
                whole = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            }
            BodyDecision::Fail => return (exchange, reply_to(Failure::Policy)),
        }
        changed = true;
    }
    if changed {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
    }
    (exchange, Response::from_parts(head, Body::from(whole.to_vec())))
}

/// Whether a policy wants the request's body.
pub(super) fn are_sent(passed: &[Passed]) -> bool {
    passed.iter().filter_map(Passed::policy).any(|passed| passed.policy.subscription.request_body.is_some())
}

/// Whether a policy wants the answer's body.
pub(super) fn are_wanted(passed: &[Passed]) -> bool {
    passed.iter().filter_map(Passed::policy).any(|passed| passed.policy.subscription.response_body.is_some())
}

async fn show(
    worker: &Rc<Worker>,
    passed: &policy::Passed,
    exchange: Box<Exchange>,
    answered: Option<u16>,
    body: &[u8],
) -> (Box<Exchange>, BodyDecision) {
    if passed.policy.plugin.waits {
        Box::pin(worker.instances.on_body_waiting(passed, exchange, answered, body)).await
    } else {
        worker.instances.on_body(passed, exchange, answered, body)
    }
}

/// Reads a body up to `limit` bytes. Trailers of a whole one are lost.
async fn gather<B>(body: &mut B, limit: u64) -> Result<Gathered, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
{
    let (mut frames, mut length) = (VecDeque::new(), 0_u64);
    while let Some(frame) = pin!(body.frame()).await {
        let frame = frame?;
        length += frame.data_ref().map_or(0, |data| data.len() as u64);
        frames.push_back(frame);
        if length > limit {
            return Ok(Gathered::Longer(frames));
        }
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    frames.iter().filter_map(Frame::data_ref).for_each(|data| whole.extend_from_slice(data));
    Ok(Gathered::Whole(whole.freeze()))
}

/// A body of which some has been read already.
struct Begun {
    begun: VecDeque<Frame<Bytes>>,
    rest: Body,
    known: SizeHint,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.begun.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.known
    }
}

impl Streaming for Begun {}
