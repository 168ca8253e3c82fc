//! What goes out to a client: hyper's messages, early hints between them, and a patient close.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Refusal, Refused, STEP, StrictStream};
use crate::timer::Deadline;

/// Bytes of a refused connection that are read and thrown away, so that the client gets to read the answer before the
/// system resets the connection.
const MOST_THROWN_AWAY: usize = 256 * 1024;
/// For so long.
const THROWING_AWAY: Duration = Duration::from_secs(2);

/// A connection whose sending half is closed.
#[derive(Debug)]
pub(super) struct Closing {
    left: usize,
    deadline: Deadline,
}

impl<S> StrictStream<S> {
    /// Gives up on a client that takes nothing of its answer. Other protocols may rest for as long as they like.
    fn check_progress(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.client.is_switched() {
            self.progress.reset();
            return written;
        }
        let refusal = Refusal { reason: "send_timeout", status: StatusCode::REQUEST_TIMEOUT };
        let stalled = || self.client.refuse(Refused { refusal, in_body: true, line: String::new() });
        self.progress.check(cx, written, stalled)
    }
}

impl<S: AsyncRead + Unpin> StrictStream<S> {
    /// Reads and throws away what the client still sends.
    fn poll_throw_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(closing) = &mut self.closing else { return Poll::Ready(()) };
        let mut scratch = [0; STEP];
        while closing.left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    closing.left = closing.left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return closing.deadline.poll_due(cx),
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_hints(cx))?;
        this.flushed = false;
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.check_progress(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_hints(cx))?;
        this.flushed = false;
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, pieces);
        this.check_progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper asks for this once it has nothing left to write.
        this.note_flushed(cx);
        ready!(this.poll_hints(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let done = this.ended || this.messages.in_head() && this.held.is_empty();
            let mut deadline = Deadline::default();
            deadline.set(THROWING_AWAY);
            this.closing = Some(Closing { left: if done { 0 } else { MOST_THROWN_AWAY }, deadline });
        }
        this.poll_throw_away(cx).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> StrictStream<S> {
    /// Writes early hints, which hyper cannot, between two of its messages. Where the end of the last one is still
    /// waiting it is too late for them.
    fn poll_hints(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.client.has_hints() && self.hints.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let new = self.client.take_hints();
        if self.flushed {
            self.hints.extend(new);
        }
        while !self.hints.is_empty() {
            let written = Pin::new(&mut self.inner).poll_write(cx, &self.hints);
            match ready!(self.check_progress(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.hints.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
