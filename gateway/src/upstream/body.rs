//! The body of an answer as it comes from an instance, whatever protocol it speaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::http1::Switched;
use super::pool::Connection;
use crate::http::{BodyError, Replay};

/// An answer's body.
pub enum AnswerBody {
    /// It drives the connection it comes on. Taken once there is nothing more to read.
    Http1(Option<Connection>),
    /// A stream of a connection that is shared.
    Http2(Incoming),
    /// Read to its end before; its connection is back already.
    Held(Box<Replay>),
    /// What was read of it before, and the rest.
    Begun(Box<(Option<Bytes>, AnswerBody)>),
}

impl AnswerBody {
    /// The connection, once the body has been read to its end and nothing stands against using it again.
    pub fn take_connection(&mut self) -> Option<Connection> {
        match self {
            Self::Http1(connection) => connection.take_if(|connection| connection.held.wire.is_read()),
            Self::Http2(_) | Self::Held(_) => None,
            Self::Begun(begun) => begun.1.take_connection(),
        }
    }

    /// The bare connection after an answer that switches protocols.
    pub fn into_switched(self) -> Option<Switched> {
        match self {
            Self::Http1(connection) => connection.map(|connection| connection.into_wire().into_switched()),
            Self::Http2(_) | Self::Held(_) | Self::Begun(_) => None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(Some(connection)) => connection.held.wire.poll_frame(cx),
            Self::Http1(None) => Poll::Ready(None),
            Self::Http2(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Self::Held(replay) => Pin::new(&mut **replay).poll_frame(cx),
            Self::Begun(begun) => match begun.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Pin::new(&mut begun.1).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.as_ref().is_none_or(|connection| connection.held.wire.is_read()),
            Self::Http2(incoming) => incoming.is_end_stream(),
            Self::Held(replay) => replay.is_end_stream(),
            Self::Begun(begun) => begun.0.is_none() && begun.1.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(connection) => connection
                .as_ref()
                .map_or_else(|| SizeHint::with_exact(0), |connection| connection.held.wire.size_hint()),
            Self::Http2(incoming) => incoming.size_hint(),
            Self::Held(replay) => replay.size_hint(),
            Self::Begun(_) => SizeHint::default(),
        }
    }
}
