//! New connections: TCP, TLS where the instance's scheme asks for it, then the HTTP handshake.

use std::io;
use std::sync::Arc;

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sluice_model::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http1::{Http1, Stream};
use super::pool::{Connection, Way};
use crate::local::LocalExecutor;
use crate::state::InstanceState;
use crate::timer::CoarseTimer;

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    /// Offers nothing but HTTP/1.1, for exchanges that may switch protocols.
    tls_http1: TlsConnector,
}

impl Connector {
    /// Verifies `https` instances as `tls` says.
    #[must_use]
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        let mut http1 = rustls::ClientConfig::clone(&tls);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: tls.into(), tls_http1: Arc::new(http1).into() }
    }

    /// Connects to an instance. An `upgrade` is possible on HTTP/1.1 only.
    pub(super) async fn connect(&self, instance: &Arc<InstanceState>, upgrade: bool) -> io::Result<Way> {
        let http1 = |stream| Way::Http1(Connection::new(Http1::new(stream), instance));
        let stream = TcpStream::connect((instance.key.address.as_str(), instance.key.port)).await?;
        stream.set_nodelay(true)?;
        match instance.key.scheme {
            Scheme::Http => Ok(http1(Stream::Tcp(stream))),
            Scheme::H2c => http2(stream).await,
            Scheme::Https => {
                let name = ServerName::try_from(instance.key.address.clone()).map_err(io::Error::other)?;
                let tls = if upgrade { &self.tls_http1 } else { &self.tls };
                let stream = tls.connect(name, stream).await?;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    http2(stream).await
                } else {
                    Ok(http1(Stream::Tls(Box::new(stream))))
                }
            }
        }
    }
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> io::Result<Way> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(CoarseTimer)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move { connection.await.ok() });
    Ok(Way::Http2(sender))
}
