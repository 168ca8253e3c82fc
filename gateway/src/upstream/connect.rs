//! New connections: TCP, TLS where the instance's scheme asks for it, then the HTTP handshake.

use std::io;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sluice_model::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pool::Sender;
use crate::local::LocalExecutor;
use crate::state::InstanceState;
use crate::timer::CoarseTimer;

/// More response headers than this and the answer is refused.
const MOST_RESPONSE_HEADERS: usize = 256;

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
}

impl Connector {
    /// Verifies `https` instances as `tls` says.
    #[must_use]
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: tls.into() }
    }

    /// Connects to an instance. `upgrade` keeps the way open for a protocol switch on HTTP/1.1.
    pub(super) async fn connect(&self, instance: &InstanceState, upgrade: bool) -> io::Result<Sender> {
        let stream = TcpStream::connect((instance.key.address.as_str(), instance.key.port)).await?;
        stream.set_nodelay(true)?;
        match instance.key.scheme {
            Scheme::Http => http1(stream, upgrade).await,
            Scheme::H2c => http2(stream).await,
            Scheme::Https => {
                let name = ServerName::try_from(instance.key.address.clone()).map_err(io::Error::other)?;
                let stream = self.tls.connect(name, stream).await?;
                if !upgrade && stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    http2(stream).await
                } else {
                    http1(stream, upgrade).await
                }
            }
        }
    }
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, upgrade: bool) -> io::Result<Sender> {
    let (sender, connection) = http1::Builder::new()
        .max_headers(MOST_RESPONSE_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Its errors reach whoever waits for an answer.
    if upgrade {
        tokio::task::spawn_local(async move { connection.with_upgrades().await.ok() });
    } else {
        tokio::task::spawn_local(async move { connection.await.ok() });
    }
    Ok(Sender::Http1(sender))
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> io::Result<Sender> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(CoarseTimer)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move { connection.await.ok() });
    Ok(Sender::Http2(sender))
}
