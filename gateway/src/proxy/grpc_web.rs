//! Answers of gRPC-Web: their trailers become their last message, and all of it may be base64.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::http::{BodyError, Streaming};

/// Marks the message that carries the trailers.
const TRAILERS: u8 = 0x80;

/// An answer's body with its trailers as the last message.
pub(super) fn framed(body: Box<dyn Streaming>, text: bool) -> Box<dyn Streaming> {
    Box::new(Framed { body, text, done: false })
}

struct Framed {
    body: Box<dyn Streaming>,
    /// Each piece is encoded by itself, as the protocol allows.
    text: bool,
    done: bool,
}

impl Framed {
    fn piece(&self, bytes: Bytes) -> Frame<Bytes> {
        Frame::data(if self.text { STANDARD.encode(&bytes).into() } else { bytes })
    }
}

impl HttpBody for Framed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut *this.body).poll_frame(cx)).transpose()?;
        let bytes = match frame.map(Frame::into_data) {
            None => {
                this.done = true;
                return Poll::Ready(None);
            }
            Some(Ok(data)) => data,
            Some(Err(other)) => {
                this.done = true;
                message(&other.into_trailers().unwrap_or_default())
            }
        };
        Poll::Ready(Some(Ok(this.piece(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Streaming for Framed {}

/// Trailers as a message: its mark, its length, `name: value` lines.
fn message(trailers: &HeaderMap) -> Bytes {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        lines.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let mut message = BytesMut::with_capacity(lines.len() + 5);
    message.extend_from_slice(&[TRAILERS]);
    message.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(&lines);
    message.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn trailers_become_a_message() {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        assert_eq!(&message(&trailers)[..], b"\x80\0\0\0\x10grpc-status: 0\r\n");
        assert_eq!(&message(&HeaderMap::new())[..], b"\x80\0\0\0\0");
    }
}
