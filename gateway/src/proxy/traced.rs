//! An answer that was got in place of another, on its way to the client: its end is the exchange's.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::chain::Passed;
use super::trace::Trace;
use crate::http::{Body, BodyError, Failure, Streaming};

/// A body and the record of its exchange.
pub(super) struct Traced {
    pub(super) body: Body,
    /// What is due at the end, until it has come.
    pub(super) ending: Option<(Trace, StatusCode, Vec<Passed>)>,
    pub(super) sent: u64,
}

impl Traced {
    fn end(&mut self, failure: Option<Failure>) {
        if let Some((mut trace, status, passed)) = self.ending.take() {
            if let Some(failure) = failure {
                trace.note(failure);
            }
            trace.ended(status, self.sent, passed);
        }
    }
}

impl HttpBody for Traced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => this.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(Some(Err(BodyError::Stalled(_)))) => this.end(Some(Failure::ResponseTimeout)),
            Poll::Ready(Some(Err(_))) => this.end(Some(Failure::Protocol)),
            Poll::Ready(None) => this.end(None),
            Poll::Pending => {}
        }
        polled
    }

    /// The end has to be seen, so there always is something to ask for.
    fn is_end_stream(&self) -> bool {
        self.ending.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Streaming for Traced {}

impl Drop for Traced {
    fn drop(&mut self) {
        let failure = (!self.body.is_end_stream()).then_some(Failure::Client);
        self.end(failure);
    }
}
