//! The strict reader: stands between a client's HTTP/1 socket and hyper, and lets through only what
//! `http-strictness.md` wants forwarded.
//!
//! Takes bytes as they arrive; gives hyper a prefix of a stream of well-formed messages, whatever the client sent. It
//! looks at them in hyper's own buffer; only a head that comes in pieces is held back until it is whole, so hyper never
//! parses one twice. A head at fault is replaced by [`REFUSED`], which makes the refusal an ordinary request in hyper's
//! eyes: its answer is written in turn, behind those still being produced, and ends the connection. A body at fault
//! ends there and then, so its request never looks complete to an upstream.

mod bytes;
mod chunks;
mod head;
mod messages;
mod writing;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, ReadBuf};

use super::exchange::Client;
use super::ingress::Refusal;
use super::progress::Progress;
use crate::config::{Limits, Timeouts};
use crate::timer::Deadline;
pub(super) use bytes::is_in_host;
use messages::{Fault, Messages};
use writing::Closing;

/// Takes the place of a head that is refused. No client can send it, since a target has to begin with `/`.
const REFUSED: &[u8] = b"GET refused HTTP/1.1\r\n\r\n";
/// Bytes read at a time while a head is held back.
const STEP: usize = 4 * 1024;
/// A client that asked nothing for so long is at rest.
const REST: Duration = Duration::from_secs(2);
/// Bytes read ahead while it is open whether they are HTTP.
const MOST_UNDECIDED: usize = 16 * 1024;
/// Bytes of a refused head that are logged.
const MOST_SHOWN: usize = 200;

/// What was refused on a connection, and what there is to show of it.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Whether the request's head was passed on, and only its body is at fault.
    pub in_body: bool,
    /// The first line of a refused head, as far as it goes.
    pub line: String,
}

/// A client's connection as hyper gets to see it.
#[derive(Debug)]
pub struct StrictStream<S> {
    inner: S,
    client: Arc<Client>,
    messages: Messages,
    /// Read, but not passed on yet. Begins with a message where a head is held back.
    held: Vec<u8>,
    /// So much of it may be passed on.
    cleared: usize,
    /// The other side has nothing more to say.
    ended: bool,
    head_limit: Duration,
    rest_limit: Duration,
    /// Of what is awaited.
    deadline: Deadline,
    awaited: Awaited,
    progress: Progress,
    /// All that hyper had to write is written, so an answer has not begun or is not at its end.
    flushed: bool,
    /// Of early hints, what is yet to be written.
    hints: Vec<u8>,
    closing: Option<Closing>,
}

/// What a client that is silent is given time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// It waits itself, or its body is under way, which has limits of its own.
    Nothing,
    /// The head of its first request, or the rest of one.
    Head,
    /// Its next request.
    Request,
    /// The same, for so long that nothing is kept for it that can be made anew.
    Rested,
    /// That hyper reads on, so that it is decided what follows an answer that might have switched protocols.
    Decision,
}

impl<S> StrictStream<S> {
    /// Guards `inner`. The head of the first request has to be here in time, counted from now.
    pub fn new(inner: S, client: Arc<Client>, limits: &Limits, timeouts: &Timeouts) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(timeouts.header);
        Self {
            inner,
            client,
            messages: Messages::new(limits),
            held: Vec::new(),
            cleared: 0,
            ended: false,
            head_limit: timeouts.header,
            rest_limit: timeouts.keep_alive,
            deadline,
            awaited: Awaited::Head,
            progress: Progress::new(timeouts.send_idle.unwrap_or(Duration::MAX)),
            flushed: true,
            hints: Vec::new(),
            closing: None,
        }
    }

    /// Passes on what was cleared, as far as there is room.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.cleared.min(buf.remaining());
        buf.put_slice(self.held.get(..len).unwrap_or_default());
        self.held.drain(..len);
        self.cleared -= len;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Looks at what was held back.
    fn look_at_held(&mut self) {
        let verdict = self.messages.advance(&self.held);
        self.cleared = verdict.passed;
        if let Some(fault) = verdict.refused {
            self.refuse(fault);
        }
        self.note_head();
    }

    /// Looks at what was read into hyper's buffer behind `before`; what may not be passed on yet is taken out of it.
    fn look_at_buffer(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let new = buf.filled().get(before..).unwrap_or_default();
        let verdict = self.messages.advance(new);
        if verdict.passed < new.len() {
            self.held = new.get(verdict.passed..).unwrap_or_default().to_vec();
            buf.set_filled(before + verdict.passed);
            if let Some(fault) = verdict.refused {
                self.refuse(fault);
            }
        }
        self.note_head();
    }

    /// Stops the clock once a head is whole, and says what was noticed.
    fn note_head(&mut self) {
        if self.messages.odd_names() {
            self.client.note_odd_names();
        }
        if self.awaited != Awaited::Nothing && self.held.len() == self.cleared {
            if self.awaited == Awaited::Rested {
                self.client.set_resting(false);
            }
            self.awaited = Awaited::Nothing;
            self.deadline.clear();
        }
    }

    /// Keeps what was cleared and puts the mark of a refusal behind it.
    fn refuse(&mut self, fault: Fault) {
        let rest = self.held.split_off(self.cleared);
        let (refusal, in_body) = match fault {
            Fault::Head(refusal) => (refusal, false),
            Fault::Body(refusal) => (refusal, true),
        };
        let line = if in_body { String::new() } else { first_line(&rest) };
        self.client.refuse(Refused { refusal, in_body, line });
        self.messages.refuse();
        if !in_body {
            self.held.extend_from_slice(REFUSED);
            self.cleared = self.held.len();
        }
    }

    /// Ready once the next head, or the rest of one, took too long; the connection then goes on to its end.
    fn poll_head_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.messages.in_head() {
            return Poll::Pending;
        }
        match self.awaited {
            Awaited::Head => {}
            _ if !self.held.is_empty() => self.wait_for(Awaited::Head, self.head_limit),
            Awaited::Request | Awaited::Rested => {}
            _ if self.client.answered() < self.messages.heads() => return Poll::Pending,
            Awaited::Nothing | Awaited::Decision => self.wait_for(Awaited::Request, self.rest_limit.min(REST)),
        }
        ready!(self.deadline.poll_due(cx));
        if self.awaited == Awaited::Request && self.rest_limit > REST {
            self.client.set_resting(self.flushed);
            self.wait_for(Awaited::Rested, self.rest_limit.saturating_sub(REST));
            ready!(self.deadline.poll_due(cx));
        }
        if self.held.is_empty() {
            // Nobody asked anything, so nobody waits for an answer.
            self.ended = true;
        } else {
            self.refuse(Fault::Head(Refusal { reason: "header_timeout", status: StatusCode::REQUEST_TIMEOUT }));
        }
        Poll::Ready(())
    }

    /// All that hyper had to write is written. Once that is an answer's end it reads on only if it is woken.
    fn note_flushed(&mut self, cx: &mut Context<'_>) {
        self.flushed = true;
        if self.client.answered() < self.messages.heads() {
            return;
        }
        let is_news = match self.awaited {
            Awaited::Decision => false,
            _ if self.messages.is_undecided() => {
                self.awaited = Awaited::Decision;
                true
            }
            Awaited::Nothing => self.poll_head_late(cx).is_ready(),
            Awaited::Head | Awaited::Request | Awaited::Rested => false,
        };
        if is_news {
            cx.waker().wake_by_ref();
        }
    }

    fn wait_for(&mut self, awaited: Awaited, limit: Duration) {
        self.awaited = awaited;
        self.deadline.set(limit);
    }
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    String::from_utf8_lossy(line.get(..MOST_SHOWN).unwrap_or(line)).into_owned()
}

impl<S: AsyncRead + Unpin> StrictStream<S> {
    /// Reads on behind what is held back. Ready with nothing new at the end.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.held.len();
        self.held.resize(before + STEP, 0);
        let mut buf = ReadBuf::new(self.held.get_mut(before..).unwrap_or_default());
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut buf);
        let new = buf.filled().len();
        self.held.truncate(before + new);
        ready!(read)?;
        self.ended |= new == 0;
        Poll::Ready(Ok(new))
    }

    /// While it is open whether the connection goes on with HTTP. Ready once it is not open any more.
    fn poll_decided(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.client.is_switched() {
            return Poll::Ready(Ok(()));
        }
        if self.client.answered() >= self.messages.heads() {
            self.messages.stay();
            self.look_at_held();
            return Poll::Ready(Ok(()));
        }
        while self.held.len() < MOST_UNDECIDED && !self.ended {
            ready!(self.poll_hold(cx))?;
        }
        // The end of the answer wakes the connection, and with it this.
        if self.held.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// While the client rests and hyper is not there to read: ready once there is something to read, or nothing will come.
    pub fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); STEP];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
            Poll::Pending => ready!(self.poll_head_late(cx)),
            Poll::Ready(read) => {
                self.ended = read.is_err() || buf.filled().is_empty();
                self.held.extend_from_slice(buf.filled());
                self.look_at_held();
            }
        }
        self.client.set_resting(false);
        Poll::Ready(())
    }

    /// Another protocol: everything passes.
    fn poll_raw(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cleared = self.held.len();
        if self.cleared > 0 {
            self.hand_over(buf);
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if self.cleared > 0 {
                self.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            if let Some(Refused { in_body, .. }) = self.client.refused() {
                // Behind the mark there is nothing to wait for; an end here would abort the answer.
                return if *in_body { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if self.ended && (self.held.is_empty() || !self.messages.is_undecided()) {
                return Poll::Ready(Ok(()));
            }
            if self.messages.is_undecided() {
                ready!(self.poll_decided(cx))?;
                if self.client.is_switched() {
                    return self.poll_raw(cx, buf);
                }
                continue;
            }
            let read = if self.held.is_empty() {
                let read = Pin::new(&mut self.inner).poll_read(cx, buf);
                if read.is_ready() {
                    self.ended = buf.filled().len() == before;
                    self.look_at_buffer(buf, before);
                }
                read
            } else {
                let read = self.poll_hold(cx);
                if read.is_ready() {
                    self.look_at_held();
                }
                read.map_ok(drop)
            };
            match read {
                Poll::Ready(Ok(())) if buf.filled().len() > before => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => ready!(self.poll_head_late(cx)),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.client.is_switched() {
            return this.poll_raw(cx, buf);
        }
        this.poll_messages(cx, buf)
    }
}

#[cfg(test)]
mod llhttp_tests;
#[cfg(test)]
mod tests;
