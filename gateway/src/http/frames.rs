//! The guard of a client's HTTP/2 connection: counts the frames that make work and carry nothing, and gives up on a
//! client that takes nothing of what is sent.
//!
//! The h2 library has its own limits on resets, continuations, empty DATA frames and header lists, but none on SETTINGS,
//! PING, PRIORITY and frames of types it does not know.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::progress::Progress;
use crate::telemetry::Rejections;
use crate::timer;

/// What HTTP/2 begins with; not a frame.
const PREFACE_LEN: u32 = 24;
const HEADER_LEN: usize = 9;
/// Idle frames a client may send at once; gRPC clients probe their bandwidth with PINGs, old browsers send PRIORITY.
const BURST: u32 = 1000;
/// So many more every second.
const PER_SECOND: u32 = 100;
/// A PING that is too short. The library answers it with GOAWAY and closes.
const MALFORMED: &[u8] = &[0, 0, 1, 6, 0, 0, 0, 0, 0, 0];

/// A client's connection as the HTTP/2 library gets to see it.
#[derive(Debug)]
pub struct FrameStream<S> {
    inner: S,
    /// What is left of the frame under way.
    left: u32,
    header: [u8; HEADER_LEN],
    header_len: usize,
    budget: Budget,
    progress: Progress,
    count: Rejections,
    flooded: Flooded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flooded {
    No,
    /// The library is yet to hear of it.
    Untold,
    Told,
}

#[derive(Debug)]
struct Budget {
    left: u32,
    since: Option<Instant>,
}

impl Budget {
    /// Whether one more is within it.
    fn take(&mut self) -> bool {
        let now = timer::now();
        let since = *self.since.get_or_insert(now);
        let earned = now.saturating_duration_since(since).as_secs().saturating_mul(u64::from(PER_SECOND));
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(BURST).saturating_add(self.left).min(BURST);
            self.since = Some(now);
        }
        let within = self.left > 0;
        self.left = self.left.saturating_sub(1);
        within
    }
}

impl<S> FrameStream<S> {
    /// Guards `inner`; nothing may be taken of it for as long as `stall` says.
    pub fn new(inner: S, stall: Duration, count: Rejections) -> Self {
        Self {
            inner,
            left: PREFACE_LEN,
            header: [0; HEADER_LEN],
            header_len: 0,
            budget: Budget { left: BURST, since: None },
            progress: Progress::new(stall),
            count,
            flooded: Flooded::No,
        }
    }

    /// Follows the frames in `bytes`; where there are too many idle ones, how many bytes come before the first of those.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        let len = bytes.len();
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= u32::try_from(skipped).unwrap_or(self.left);
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let before = len - bytes.len();
            let wanted = (HEADER_LEN - self.header_len).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            for (to, from) in self.header.iter_mut().skip(self.header_len).zip(part) {
                *to = *from;
            }
            self.header_len += wanted;
            bytes = rest;
            if self.header_len < HEADER_LEN {
                break;
            }
            self.header_len = 0;
            let [high, middle, low, kind, ..] = self.header;
            self.left = u32::from_be_bytes([0, high, middle, low]);
            if is_idle(kind) && !self.budget.take() {
                return Err(before);
            }
        }
        Ok(())
    }
}

/// PRIORITY, SETTINGS, PING and whatever is not known.
fn is_idle(kind: u8) -> bool {
    matches!(kind, 2 | 4 | 6 | 10..)
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.flooded {
            Flooded::No => {}
            Flooded::Untold => {
                // A header in pieces would have to be completed first; then the connection just ends.
                if this.header_len == 0 && buf.remaining() >= MALFORMED.len() {
                    buf.put_slice(MALFORMED);
                }
                this.flooded = Flooded::Told;
                return Poll::Ready(Ok(()));
            }
            Flooded::Told => return Poll::Ready(Ok(())),
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let in_pieces = this.header_len > 0;
        if let Err(passed) = this.follow(buf.filled().get(before..).unwrap_or_default()) {
            this.count.count("h2_flood");
            this.flooded = if in_pieces && passed == 0 { Flooded::Told } else { Flooded::Untold };
            buf.set_filled(before + passed);
            if passed == 0 && this.flooded == Flooded::Untold && buf.remaining() >= MALFORMED.len() {
                buf.put_slice(MALFORMED);
                this.flooded = Flooded::Told;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.progress.check(cx, written, || this.count.count("send_timeout"))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, pieces);
        this.progress.check(cx, written, || this.count.count("send_timeout"))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn frame(kind: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(len).unwrap(), kind, 0, 0, 0, 0, 0];
        frame.resize(HEADER_LEN + len, 0xaa);
        frame
    }

    fn follow(stream: &mut FrameStream<tokio::io::Empty>, bytes: &[u8], piece: usize) -> Result<(), usize> {
        let mut before = 0;
        for piece in bytes.chunks(piece) {
            stream.follow(piece).map_err(|passed| before + passed)?;
            before += piece.len();
        }
        Ok(())
    }

    #[test]
    fn only_idle_frames_count_however_they_come() {
        let head = [0; PREFACE_LEN as usize].to_vec();
        for piece in [1, 7, 1000] {
            let guard = || FrameStream::new(tokio::io::empty(), Duration::MAX, Rejections::default());
            let busy: Vec<u8> = (0..3 * BURST).flat_map(|number| frame([0, 1, 3, 8][number as usize % 4], 5)).collect();
            assert_eq!(follow(&mut guard(), &[&head[..], &busy].concat(), piece), Ok(()));
            let ping = frame(6, 8);
            let flood = [&head[..], &ping.repeat(BURST as usize + 1)].concat();
            let within = head.len() + ping.len() * BURST as usize;
            let refused = follow(&mut guard(), &flood, piece).unwrap_err();
            assert!((within..within + HEADER_LEN).contains(&refused), "{refused} is not behind {within}");
        }
    }
}
