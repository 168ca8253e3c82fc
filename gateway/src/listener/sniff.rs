//! Which HTTP a plain connection speaks: HTTP/2 announces itself with a fixed preface, everything else is HTTP/1.

use std::io;

use tokio::net::TcpStream;

/// What HTTP/2 clients send first (RFC 9113 section 3.4), as far as it differs from any HTTP/1 request line.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS connection: the kind of its first record.
pub(super) const TLS_HANDSHAKE: u8 = 22;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Looks at the first bytes without taking them. Waits until they decide; the caller sets the limit.
pub(super) async fn protocol(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    let mut seen_before = 0;
    loop {
        let seen = stream.peek(&mut first).await?;
        let bytes = first.get(..seen).unwrap_or_default();
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(bytes) {
            return Ok(Protocol::Http1);
        }
        if seen == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        if seen == seen_before {
            // Peeked bytes keep the socket readable, so there is nothing to wait for but time.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        seen_before = seen;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn sniff(pieces: &[&[u8]]) -> io::Result<Protocol> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let write = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            client.shutdown().await.unwrap();
        };
        tokio::join!(protocol(&server), write).0
    }

    #[tokio::test]
    async fn the_first_bytes_decide() {
        assert_eq!(sniff(&[b"GET / HTTP/1.1\r\n"]).await.unwrap(), Protocol::Http1);
        assert_eq!(sniff(&[b"P", b"RI * ", b"HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await.unwrap(), Protocol::Http2);
        assert_eq!(sniff(&[b"PR", b"OPFIND / HTTP/1.1\r\n"]).await.unwrap(), Protocol::Http1);
        assert_eq!(sniff(&[]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
