//! The body of an upstream's answer on its way to the client, and what has to happen when it ends.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::Worker;
use super::chain::Passed;
use super::trace::Trace;
use crate::balance::Lease;
use crate::http::{BodyError, Failure, Streaming};
use crate::timer::Idle;
use crate::upstream::AnswerBody;

/// An upstream's body. Dropped before its end, it counts as given up by the client.
pub(super) struct UpstreamBody {
    incoming: AnswerBody,
    idle: Idle,
    ending: Option<Ending>,
    sent: u64,
    /// Told once what came before it is on its way to the client.
    error: Option<BodyError>,
}

/// What is due once an answer has been passed on.
pub(super) struct Ending {
    worker: Rc<Worker>,
    lease: Lease,
    passed: Vec<Passed>,
    trace: Trace,
    status: StatusCode,
}

impl Ending {
    pub(super) fn new(worker: Rc<Worker>, lease: Lease, passed: Vec<Passed>, trace: Trace, status: StatusCode) -> Self {
        Self { worker, lease, passed, trace, status }
    }

    /// The answer had no body.
    pub(super) fn complete(self, mut body: AnswerBody) {
        self.finish(&mut body, 0);
    }

    fn finish(self, body: &mut AnswerBody, sent: u64) {
        drop(self.lease);
        if let Some(connection) = body.take_connection() {
            self.worker.pool.give_back(connection);
        }
        self.trace.ended(self.status, sent, self.passed);
    }

    fn trailers(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref().filter(|_| !self.passed.is_empty()) {
            self.trace.grpc(trailers);
        }
    }

    /// The answer broke off; its connection is of no further use.
    fn abort(mut self, sent: u64, failure: Failure) {
        self.trace.note(failure);
        drop(self.lease);
        self.trace.ended(self.status, sent, self.passed);
    }
}

impl UpstreamBody {
    pub(super) fn new(incoming: AnswerBody, ending: Ending, idle: Duration) -> Self {
        Self { incoming, idle: Idle::new(idle), ending: Some(ending), sent: 0, error: None }
    }

    fn end(&mut self) {
        if let Some(ending) = self.ending.take() {
            ending.finish(&mut self.incoming, self.sent);
        }
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(ending) = self.ending.take() {
            ending.abort(self.sent, failure);
        }
    }
}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.reset();
                match (frame.data_ref(), &mut this.ending) {
                    (Some(data), _) => this.sent += data.len() as u64,
                    (None, Some(ending)) => ending.trailers(&frame),
                    (None, None) => {}
                }
                if this.incoming.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.fail(Failure::Protocol);
                // An error ends the client's connection with all that has not been written yet.
                this.error = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => this.idle.poll_stalled(cx).map(|limit| {
                this.fail(Failure::ResponseTimeout);
                Some(Err(BodyError::Stalled(limit)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Streaming for UpstreamBody {}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        self.fail(Failure::Client);
    }
}
