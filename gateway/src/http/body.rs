//! Bodies in both directions. Unless a step asks for it neither is buffered: each frame is passed on as it arrives, and
//! the reader's pace is the writer's.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

use super::base64::Decoder;
use super::exchange::Client;
use super::flow::{self, Flow};
use super::forwarded::Forwarding;
use super::held::Replay;
use crate::timer::{self, Idle};

/// What a client gets: nothing, something short, or an upstream's body with what has to happen at its end.
pub enum Body {
    /// Nothing.
    Empty,
    /// A body the gateway made.
    Full(Option<Bytes>),
    /// An upstream's body.
    Streaming(Box<dyn Streaming>),
}

/// An upstream's body and its bookkeeping. Dropping it before its end means the client went away.
pub trait Streaming: HttpBody<Data = Bytes, Error = BodyError> + Unpin {}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender broke off or broke the protocol.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The instance broke off or broke the protocol.
    #[error("the body broke off: {0}")]
    Io(std::io::Error),
    /// No byte came for too long.
    #[error("the body stalled for longer than {0:?}")]
    Stalled(Duration),
    /// Bytes came, but too few for the time it took.
    #[error("the body came slower than {0} bytes a second")]
    Slow(u32),
    /// It is longer than the entrypoint takes.
    #[error("the body is longer than {0} bytes")]
    TooLarge(u64),
    /// What was put into a file cannot be read back.
    #[error("the body cannot be read back: {0}")]
    Lost(std::io::Error),
    /// What should be base64 is not.
    #[error("the body is not base64")]
    NotBase64,
}

/// What the body of a client's request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// It may stall this long.
    pub idle: Duration,
    /// It may be this long.
    pub bytes: u64,
    /// So many bytes have to come in a second, after a grace of 10 s; only time spent waiting for the client counts.
    /// Zero means any number.
    pub rate: u32,
}

impl Default for BodyLimits {
    /// None.
    fn default() -> Self {
        Self { idle: Duration::MAX, bytes: u64::MAX, rate: 0 }
    }
}

/// A body's rate is not looked at before it kept us waiting for so long.
const GRACE: Duration = Duration::from_secs(10);

/// The body of a request on its way upstream.
pub struct RequestBody {
    /// What is still to come from the client. Apart, because most requests have no body.
    incoming: Option<Box<FromClient>>,
    hints: Option<Arc<Client>>,
    /// What is to be added to the head it goes with.
    pub forwarding: Option<Forwarding>,
    /// In place of a client's: one the gateway has as a whole.
    whole: Option<Bytes>,
    /// Read of it before.
    begun: VecDeque<Bytes>,
    /// In place of a client's: one that was read to its end before.
    held: Option<Box<Replay>>,
    /// It comes in base64.
    decoder: Option<Box<Decoder>>,
}

/// A client's body, within limits.
struct FromClient {
    body: Incoming,
    limits: BodyLimits,
    idle: Idle,
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    copies: Vec<BodyCopy>,
}

/// Keeps what passes by, as long as it is not too much. Whoever waits for it gets it once the body has ended.
struct BodyCopy {
    most: usize,
    frames: Vec<Bytes>,
    waiting: Option<oneshot::Sender<Bytes>>,
}

impl RequestBody {
    /// Passes `incoming` on, within `limits`.
    #[must_use]
    pub fn new(incoming: Incoming, limits: BodyLimits) -> Self {
        let incoming = (!incoming.is_end_stream()).then(|| Box::new(FromClient::new(incoming, limits)));
        Self { incoming, ..Self::whole(Bytes::new()) }
    }

    /// A body the gateway has as a whole.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        let whole = (!bytes.is_empty()).then_some(bytes);
        Self { incoming: None, hints: None, forwarding: None, whole, begun: VecDeque::new(), held: None, decoder: None }
    }

    /// A body that was read to its end before.
    #[must_use]
    pub fn again(held: Replay) -> Self {
        Self { held: Some(Box::new(held)), ..Self::whole(Bytes::new()) }
    }

    /// The body its base64 stands for.
    #[must_use]
    pub fn from_base64(self) -> Self {
        Self { decoder: Some(Box::default()), ..self }
    }

    /// The body as if `begun` had not been read yet.
    #[must_use]
    pub fn put_back(self, begun: VecDeque<Bytes>) -> Self {
        Self { begun, ..self }
    }

    /// Whom early hints are for, if the client can take any.
    #[must_use]
    pub fn with_hints(self, client: Option<Arc<Client>>) -> Self {
        Self { hints: client, ..self }
    }

    /// Whom early hints are for.
    #[must_use]
    pub fn hints(&self) -> Option<Arc<Client>> {
        self.hints.clone()
    }

    /// A copy of this body, once it has gone by; none where it is longer than `most` or breaks off.
    #[must_use]
    pub fn copied(&mut self, most: usize) -> oneshot::Receiver<Bytes> {
        let (waiting, copy) = oneshot::channel();
        let mut kept = BodyCopy { most, frames: Vec::new(), waiting: Some(waiting) };
        match &mut self.incoming {
            Some(incoming) => incoming.copies.push(kept),
            None => {
                if let Some(whole) = &self.whole {
                    kept.take(whole);
                }
                kept.end();
            }
        }
        copy
    }
}

impl FromClient {
    fn new(body: Incoming, limits: BodyLimits) -> Self {
        let idle = Idle::new(limits.idle);
        Self { body, limits, idle, received: 0, waited: Duration::ZERO, waiting_since: None, copies: Vec::new() }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = self.check(frame);
                if let Ok(frame) = &frame
                    && !self.copies.is_empty()
                {
                    self.copy(frame);
                }
                Poll::Ready(Some(frame))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.copies.iter_mut().for_each(BodyCopy::end);
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.waiting_since.get_or_insert_with(timer::now);
                self.idle.poll_stalled(cx).map(|limit| Some(Err(BodyError::Stalled(limit))))
            }
        }
    }

    /// Counts what arrived.
    fn check(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.idle.reset();
        self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.received > self.limits.bytes {
            return Err(BodyError::TooLarge(self.limits.bytes));
        }
        if let Some(since) = self.waiting_since.take() {
            self.waited += timer::now().saturating_duration_since(since);
            let BodyLimits { rate, .. } = self.limits;
            if self.waited > GRACE && self.received < self.waited.as_secs() * u64::from(rate) {
                return Err(BodyError::Slow(rate));
            }
        }
        Ok(frame)
    }

    /// Shows a frame that passes by to whoever copies.
    fn copy(&mut self, frame: &Frame<Bytes>) {
        let ended = self.body.is_end_stream();
        for copy in &mut self.copies {
            if let Some(data) = frame.data_ref() {
                copy.take(data);
            }
            if ended {
                copy.end();
            }
        }
    }
}

impl BodyCopy {
    fn take(&mut self, data: &Bytes) {
        match self.most.checked_sub(data.len()) {
            Some(left) if self.waiting.is_some() => {
                self.most = left;
                self.frames.push(data.clone());
            }
            // Too much: nobody gets half a body.
            _ => {
                self.waiting = None;
                self.frames.clear();
            }
        }
    }

    fn end(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            let whole = match std::mem::take(&mut self.frames) {
                frames if frames.len() > 1 => frames.concat().into(),
                frames => frames.into_iter().next().unwrap_or_default(),
            };
            // Nobody may want it any more.
            waiting.send(whole).ok();
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Some(Bytes::from_static(text.as_bytes())))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(Some(bytes.into())) }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
        };
        flow::note(if frame.is_ready() { Flow::Gave } else { Flow::Waits });
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streaming(body) => body.size_hint(),
        }
    }
}

impl RequestBody {
    /// What comes from the client, or what the gateway has as a whole.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(self.whole.take().map(|bytes| Ok(Frame::data(bytes))));
        };
        let frame = incoming.poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.incoming = None;
        }
        frame
    }

    /// The same, decoded.
    fn poll_decoded(
        &mut self,
        mut decoder: Box<Decoder>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Poll::Ready(frame) = self.poll_client(cx) else {
                self.decoder = Some(decoder);
                return Poll::Pending;
            };
            let Some(text) = frame.transpose()?.and_then(|frame| frame.into_data().ok()) else {
                return Poll::Ready((!decoder.is_whole()).then_some(Err(BodyError::NotBase64)));
            };
            let bytes = decoder.push(&text).map_err(|_| BodyError::NotBase64)?;
            if !bytes.is_empty() {
                self.decoder = Some(decoder);
                return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
            }
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.begun.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Some(held) = &mut this.held {
            return Pin::new(&mut **held).poll_frame(cx);
        }
        match this.decoder.take() {
            Some(decoder) => this.poll_decoded(decoder, cx),
            None => this.poll_client(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_read = self.incoming.as_ref().map_or(self.whole.is_none(), |incoming| incoming.body.is_end_stream());
        is_read && self.begun.is_empty() && self.held.as_ref().is_none_or(|held| held.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(held) = &self.held {
            return held.size_hint();
        }
        if !self.begun.is_empty() || self.decoder.is_some() {
            return SizeHint::default();
        }
        let whole = || SizeHint::with_exact(self.whole.as_ref().map_or(0, |bytes| bytes.len() as u64));
        self.incoming.as_ref().map_or_else(whole, |incoming| incoming.body.size_hint())
    }
}
