//! The first message of a handshake, read before anybody answers: what becomes of the connection depends on it.
//!
//! It may come in any number of segments and records; rustls puts it together. Everything read is kept, since a
//! connection that is passed on as it is needs it again.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// No client has this much to say before it gets an answer; a hello with post-quantum keys has about 1,800 bytes.
const LARGEST: usize = 16 << 10;
/// Read at once.
const PIECE: usize = 4 << 10;

/// A connection whose first message has been read.
pub struct Hello {
    stream: TcpStream,
    accepted: Accepted,
    read: Vec<u8>,
}

/// Why there is no first message.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The socket failed, or ended too early.
    #[error("the connection ended in its handshake: {0}")]
    Io(#[from] io::Error),
    /// It is not TLS, or not TLS as it has to be.
    #[error("no TLS handshake: {0}")]
    Invalid(rustls::Error),
    /// It goes on and on.
    #[error("more than {LARGEST} bytes of handshake before an answer")]
    TooLarge,
}

impl Hello {
    /// Waits for the first message. The caller sets the limit of time.
    ///
    /// # Errors
    /// [`HelloError`]; the client has been told where that makes sense.
    pub async fn read(mut stream: TcpStream) -> Result<Self, HelloError> {
        let mut acceptor = Acceptor::default();
        let mut read = Vec::with_capacity(PIECE);
        loop {
            let before = read.len();
            // rustls takes a piece of this size at once, so nothing is left over when the message is complete.
            if (&mut stream).take(PIECE as u64).read_buf(&mut read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let mut news = read.get(before..).unwrap_or_default();
            while !news.is_empty() {
                acceptor.read_tls(&mut news)?;
                match acceptor.accept() {
                    Ok(Some(accepted)) if news.is_empty() => return Ok(Self { stream, accepted, read }),
                    // More than a hello before an answer: rustls has taken all it can use.
                    Ok(Some(_)) => return Err(HelloError::TooLarge),
                    Ok(None) => {}
                    Err((error, mut alert)) => {
                        let mut bytes = Vec::new();
                        alert.write_all(&mut bytes)?;
                        // Whoever is gone need not hear of it.
                        stream.write_all(&bytes).await.ok();
                        return Err(HelloError::Invalid(error));
                    }
                }
            }
            if read.len() > LARGEST {
                return Err(HelloError::TooLarge);
            }
        }
    }

    /// The name the client asks for, in lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.accepted.client_hello().server_name().map(str::to_ascii_lowercase)
    }

    /// The protocols the client offers, in its order.
    #[must_use]
    pub fn alpn(&self) -> Vec<Vec<u8>> {
        self.accepted.client_hello().alpn().into_iter().flatten().map(<[u8]>::to_vec).collect()
    }

    /// Ends TLS here.
    ///
    /// # Errors
    /// What the handshake fails with.
    pub async fn accept(self, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
        StartHandshake::from_parts(self.accepted, self.stream).into_stream(config).await
    }

    /// The connection, and what has been read from it already.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use rustls::pki_types::ServerName;
    use tokio::net::TcpListener;

    /// The first message of a client that asks for `db.test` and offers two protocols.
    fn hello() -> Vec<u8> {
        crate::tls::install_provider();
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec(), b"h2".to_vec()];
        let name = ServerName::try_from("DB.test").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Sends pieces, each in a segment of its own, and closes where `close` says so.
    async fn read(pieces: Vec<Vec<u8>>) -> Result<Hello, HelloError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let write = async {
            for piece in pieces {
                client.write_all(&piece).await.ok();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.ok();
        };
        tokio::join!(Hello::read(server), write).0
    }

    fn assert_is_the_hello(read: Hello, sent: &[u8]) {
        assert_eq!(read.server_name().as_deref(), Some("db.test"));
        assert_eq!(read.alpn(), [b"postgresql".to_vec(), b"h2".to_vec()]);
        assert_eq!(read.into_parts().1, sent);
    }

    #[tokio::test]
    async fn segments_of_any_size_are_put_together() {
        let bytes = hello();
        for size in [1, 7, 500, bytes.len()] {
            let pieces = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            assert_is_the_hello(read(pieces).await.unwrap(), &bytes);
        }
    }

    /// CVE-2026-32305 is a proxy that did not look for the name in a second record.
    #[tokio::test]
    async fn records_of_any_size_are_put_together() {
        let bytes = hello();
        let (head, message) = bytes.split_at(5);
        let records = message.chunks(40).flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&head[..3], &length, part].concat()
        });
        let records: Vec<u8> = records.collect();
        assert_is_the_hello(read(vec![records.clone()]).await.unwrap(), &records);
    }

    #[tokio::test]
    async fn what_is_no_hello_ends() {
        let half = hello()[..100].to_vec();
        assert!(matches!(read(vec![half]).await, Err(HelloError::Io(_))));
        let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        assert!(matches!(read(vec![http]).await, Err(HelloError::Invalid(_))));
        // A hello that announces 60,000 bytes, in records as large as they may be.
        let record =
            |body: Vec<u8>| [&[22, 3, 1][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
        let mut pieces = vec![record([&[1, 0, 0xea, 0x60][..], &[0; 12_000]].concat())];
        pieces.push(record(vec![0; 12_000]));
        assert!(matches!(read(pieces).await, Err(HelloError::TooLarge)));
    }
}
