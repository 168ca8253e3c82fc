//! HTTP/1.1 towards an instance: one connection, and the exchange on it.
//!
//! Takes a request's head and body; gives the answer's head, then its body piece by piece. Whoever waits for the answer
//! drives the connection, so that an exchange is one task from the client's socket to the instance's and back: no
//! channel, no wake-up in between. Answers are read strictly: what could be understood in two ways is refused, and a
//! connection with anything left on it is not used again.

mod chunked;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod head;
mod output;
mod stream;

pub(super) use stream::Stream;
pub use stream::Switched;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::http::{request, response};
use hyper::{Method, Request, StatusCode};

use crate::http::{BodyError, Client, RequestBody};
use chunked::{Chunked, Piece};
use head::{Follows, MOST_HEAD_BYTES};
use output::{Framing, Output};

/// Room for what is read at first; doubled while reads fill it.
const SMALL_READ: usize = 8 * 1024;
const LARGE_READ: usize = 256 * 1024;
/// Pieces up to this size are copied out, so that the buffer can be used again at once.
const COPIED: usize = 4 * 1024;
/// Interim answers before the final one; more are an attack on whoever waits.
const MOST_INTERIM: u32 = 16;

/// One connection.
pub(super) struct Http1 {
    stream: Stream,
    input: BytesMut,
    output: Output,
    read_size: usize,
    /// The request, until all of it is sent.
    sending: Option<Sending>,
    method: Method,
    remaining: Remaining,
    interim: u32,
    /// Whom early hints are for.
    hints: Option<Arc<Client>>,
    /// Whether a byte of the answer has come.
    answered: bool,
    keep: bool,
}

struct Sending {
    head: request::Parts,
    body: RequestBody,
    framing: Framing,
    begun: bool,
}

/// What of the answer is still to come.
enum Remaining {
    Head,
    Length(u64),
    Chunked(Chunked),
    Rest,
    Nothing,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{0}")]
    Io(io::Error),
    #[error("the instance closed the connection without an answer")]
    Closed,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("{0}")]
    Body(BodyError),
}

impl Http1 {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: Output::default(),
            read_size: SMALL_READ,
            sending: None,
            method: Method::GET,
            remaining: Remaining::Nothing,
            interim: 0,
            hints: None,
            answered: false,
            keep: true,
        }
    }

    /// Whether a new exchange can begin: the last one has ended cleanly and the instance has neither closed the
    /// connection nor sent what nobody asked for.
    pub(super) fn is_usable(&mut self) -> bool {
        self.is_finished() && self.stream.is_quiet()
    }

    /// Whether the last exchange left nothing behind on either side.
    pub(super) fn is_finished(&self) -> bool {
        self.keep && self.is_read() && self.sending.is_none() && self.output.is_empty() && self.input.is_empty()
    }

    /// Begins an exchange; polling for the answer sends the request.
    pub(super) fn begin(&mut self, request: Request<RequestBody>) {
        let (head, body) = request.into_parts();
        let framing = match body.size_hint().exact() {
            _ if body.is_end_stream() => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        self.output.begin(&head, body.forwarding.as_ref(), framing);
        self.hints = body.hints();
        self.method = head.method.clone();
        self.sending = Some(Sending { head, body, framing, begun: false });
        self.remaining = Remaining::Head;
        self.read_size = SMALL_READ;
        (self.interim, self.answered) = (0, false);
    }

    /// Whether some of the request's body is still to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.framing != Framing::None)
    }

    /// After a failure: the request, where none of its body is gone and it can be made again: because nothing of it has
    /// been sent, or, with `repeatable`, because nothing has come back.
    pub(super) fn take_unsent(&mut self, repeatable: impl Fn(&Method) -> bool) -> Option<Request<RequestBody>> {
        let untouched = !self.answered && (repeatable(&self.method) || !self.output.has_begun());
        let unsent = self.sending.take().filter(|sending| untouched && !sending.begun);
        unsent.map(|sending| Request::from_parts(sending.head, sending.body))
    }

    /// Sends what can be sent and reads until the head of the final answer is there.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, NoAnswer>> {
        // An instance may answer and close before it has read everything: what cannot be sent matters only if no answer
        // comes.
        let sent = match self.poll_send(cx) {
            Poll::Ready(Err(NoAnswer::Io(error))) => Some(error),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        let mut fresh = !self.input.is_empty();
        loop {
            // A head cannot be whole before a line of it ends, and may not be longer than this.
            if (fresh || self.input.len() > MOST_HEAD_BYTES)
                && let Some(head) = self.take_head()?
            {
                return Poll::Ready(Ok(head));
            }
            let before = self.input.len();
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) if self.input.is_empty() => {
                    return Poll::Ready(Err(sent.map_or(NoAnswer::Closed, NoAnswer::Io)));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(NoAnswer::Invalid("the answer's head broke off"))),
                Poll::Ready(Ok(_)) => self.answered = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(NoAnswer::Io(sent.unwrap_or(error)))),
                Poll::Pending => return sent.map_or(Poll::Pending, |error| Poll::Ready(Err(NoAnswer::Io(error)))),
            }
            fresh = self.input.get(before..).is_some_and(|new| new.contains(&b'\n'));
        }
    }

    /// Cuts the head of an answer off the input, interim answers passed over.
    fn take_head(&mut self) -> Result<Option<response::Parts>, NoAnswer> {
        while let Some(head) = head::parse(&self.input, &self.method).map_err(NoAnswer::Invalid)? {
            self.input.advance(head.length);
            if head.parts.status.is_informational() && head.parts.status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += 1;
                if self.interim > MOST_INTERIM {
                    return Err(NoAnswer::Invalid("the instance sends interim answers without end"));
                }
                if let Some(client) = self.hints.as_ref().filter(|_| head.parts.status == StatusCode::EARLY_HINTS) {
                    client.hint(&head.parts.headers);
                }
                continue;
            }
            self.hints = None;
            self.keep = head.keep;
            self.remaining = match head.follows {
                Follows::Nothing => Remaining::Nothing,
                Follows::Length(length) => Remaining::Length(length),
                Follows::Chunked => Remaining::Chunked(Chunked::default()),
                Follows::Rest => Remaining::Rest,
            };
            return Ok(Some(head.parts));
        }
        Ok(None)
    }

    /// Sends head and body; ready once both are written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoAnswer>> {
        loop {
            if !self.output.has_room() || self.sending.is_none() {
                ready!(self.output.poll_flush(&mut self.stream, cx)).map_err(NoAnswer::Io)?;
            }
            let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
            if sending.framing == Framing::None {
                ready!(self.output.poll_flush(&mut self.stream, cx)).map_err(NoAnswer::Io)?;
                // Kept until the answer begins: it could still be wanted for another try.
                return Poll::Ready(Ok(()));
            }
            match std::pin::Pin::new(&mut sending.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    sending.begun = true;
                    // Trailers of a request have no place in HTTP/1.1 that every instance reads the same way.
                    if let Ok(data) = frame.into_data() {
                        self.output.put(data, sending.framing);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    // What is left of a body that broke off would look like its end to another instance.
                    self.sending = None;
                    return Poll::Ready(Err(NoAnswer::Body(error)));
                }
                Poll::Ready(None) => {
                    if sending.framing == Framing::Chunked {
                        self.output.put_last_chunk();
                    }
                    self.sending = None;
                }
                Poll::Pending => {
                    ready!(self.output.poll_flush(&mut self.stream, cx)).map_err(NoAnswer::Io)?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(self.stream.poll_fill(cx, &mut self.input))?;
        if read == room {
            self.read_size = (self.read_size * 2).min(LARGE_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// The next piece of the answer's body. The request's body goes on being sent meanwhile.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_sending() || !self.output.is_empty() {
            // An instance that answers without reading to the end has said what it has to say.
            if let Poll::Ready(Err(_)) = self.poll_send(cx) {
                (self.sending, self.keep) = (None, false);
                self.output = Output::default();
            }
        }
        loop {
            match self.take_piece() {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(reason) => return Poll::Ready(Some(Err(self.broken(io::Error::other(reason))))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) if matches!(self.remaining, Remaining::Rest) => self.remaining = Remaining::Nothing,
                Ok(0) => return Poll::Ready(Some(Err(self.broken(io::ErrorKind::UnexpectedEof.into())))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.broken(error)))),
            }
        }
    }

    fn broken(&mut self, error: io::Error) -> BodyError {
        self.keep = false;
        BodyError::Io(error)
    }

    fn take_piece(&mut self) -> Result<Piece, &'static str> {
        let piece = match &mut self.remaining {
            Remaining::Head | Remaining::Nothing => Piece::End,
            Remaining::Chunked(chunked) => chunked.next(&mut self.input, take)?,
            Remaining::Rest | Remaining::Length(_) if self.input.is_empty() => Piece::More,
            Remaining::Rest => Piece::Data(take(&mut self.input, usize::MAX)),
            Remaining::Length(left) => {
                let here = usize::try_from(*left).map_or(self.input.len(), |left| left.min(self.input.len()));
                *left -= here as u64;
                Piece::Data(take(&mut self.input, here))
            }
        };
        if self.is_read() {
            self.remaining = Remaining::Nothing;
        }
        Ok(piece)
    }

    /// Whether the whole answer has been read.
    pub(super) fn is_read(&self) -> bool {
        match &self.remaining {
            Remaining::Nothing | Remaining::Length(0) => true,
            Remaining::Chunked(chunked) => chunked.is_done(),
            Remaining::Head | Remaining::Length(_) | Remaining::Rest => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.remaining {
            Remaining::Nothing => SizeHint::with_exact(0),
            Remaining::Length(left) => SizeHint::with_exact(*left),
            Remaining::Head | Remaining::Chunked(_) | Remaining::Rest => SizeHint::default(),
        }
    }

    /// What is left after a switch of protocols.
    pub(super) fn into_switched(self) -> Switched {
        Switched::new(self.stream, self.input)
    }

    /// Nothing needs a large buffer between exchanges.
    pub(super) fn rest(&mut self) {
        if !self.is_sending() {
            self.sending = None;
        }
        if self.input.capacity() > 2 * SMALL_READ {
            self.input = BytesMut::new();
        }
    }
}

/// Takes at most `count` bytes off the front. Short ones are copied, so that nobody holds on to the buffer.
fn take(input: &mut BytesMut, count: usize) -> Bytes {
    let count = count.min(input.len());
    if count > COPIED {
        return input.split_to(count).freeze();
    }
    let bytes = Bytes::copy_from_slice(input.get(..count).unwrap_or_default());
    input.advance(count);
    bytes
}
