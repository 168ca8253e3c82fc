//! Two connections joined after an accepted upgrade: bytes pass both ways until one side ends, or the gateway leaves.
//!
//! WebSockets that have to go are told so (RFC 6455 section 7.4.1, code 1001), which takes knowing where frames end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::timeout;

use crate::http::Tunnel;

/// "Going away", from the server's side.
const AWAY_TO_CLIENT: &[u8] = &[0x88, 2, 0x03, 0xe9];
/// The same from the client's side, where frames are masked; with zeros, as nobody has to be fooled.
const AWAY_TO_SERVER: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Joins both sides; answers how many bytes went to the client.
pub(super) async fn join<C, U>(client: C, upstream: U, websocket: bool, tunnel: &Tunnel) -> u64
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut client = Edge::new(client);
    let mut upstream = Edge::new(upstream);
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut upstream) => return copied.map_or(client.written, |(_, down)| down),
        () = tunnel.told_to_leave() => {}
    }
    if websocket {
        // A side that cannot take it now is in no state to be told.
        timeout(GOODBYE, client.say(AWAY_TO_CLIENT)).await.ok();
        timeout(GOODBYE, upstream.say(AWAY_TO_SERVER)).await.ok();
    }
    client.written
}

/// A side, and where the frames written to it end.
struct Edge<S> {
    inner: S,
    written: u64,
    /// Of the frame under way; zero between two frames.
    left: u64,
    header: [u8; 14],
    header_len: usize,
}

impl<S: AsyncWrite + Unpin> Edge<S> {
    fn new(inner: S) -> Self {
        Self { inner, written: 0, left: 0, header: [0; 14], header_len: 0 }
    }

    /// Says goodbye between two frames; within one it would be read as a part of that.
    async fn say(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.left == 0 && self.header_len == 0 {
            self.inner.write_all(frame).await?;
        }
        self.inner.shutdown().await
    }

    /// Follows the frames in what was written.
    fn follow(&mut self, mut bytes: &[u8]) {
        self.written += bytes.len() as u64;
        while let Some((byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(to) = self.header.get_mut(self.header_len) {
                *to = *byte;
            }
            self.header_len += 1;
            bytes = rest;
            if let Some(payload) = payload(self.header.get(..self.header_len).unwrap_or_default()) {
                self.left = payload;
                self.header_len = 0;
            }
        }
    }
}

/// The length of a frame's payload, once its header is whole (RFC 6455 section 5.2).
fn payload(header: &[u8]) -> Option<u64> {
    let (&[_, second], rest) = header.split_first_chunk::<2>()?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (len, rest) = match second & 0x7f {
        126 => rest.split_first_chunk::<2>().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
        len => (u64::from(len), rest),
    };
    (rest.len() >= mask).then_some(len)
}

impl<S: AsyncRead + Unpin> AsyncRead for Edge<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Edge<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            this.follow(bytes.get(..len).unwrap_or_default());
        }
        written
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
    use super::*;

    #[test]
    fn the_ends_of_frames_are_known_however_they_come() {
        let short = [&[0x81, 5][..], b"hello"].concat();
        let masked = [&[0x82, 0x80 | 3, 1, 2, 3, 4][..], b"abc"].concat();
        let medium = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let long = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65536]].concat();
        let empty = vec![0x89, 0];
        for frame in [short, masked, medium, long, empty] {
            for piece in [1, 3, 1000] {
                let mut edge = Edge::new(tokio::io::sink());
                let (last, before) = frame.split_last().unwrap_or((&0, &[]));
                before.chunks(piece).for_each(|piece| edge.follow(piece));
                assert!(edge.left > 0 || edge.header_len > 0, "within {:?}", frame.get(..10));
                edge.follow(&[*last]);
                assert_eq!((edge.left, edge.header_len), (0, 0), "behind {:?}", frame.get(..10));
            }
        }
    }
}
