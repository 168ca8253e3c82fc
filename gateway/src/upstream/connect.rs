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
use tokio_rustls::client::TlsStream;

use super::http1::{Http1, Stream};
use super::once::TlsTo;
use super::pool::{Connection, Way};
use crate::live::Transports;
use crate::local::LocalExecutor;
use crate::state::InstanceState;
use crate::timer::CoarseTimer;

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    transports: Transports,
}

impl Connector {
    /// Speaks TLS to `https` instances as the transport of their service says.
    #[must_use]
    pub fn new(transports: Transports) -> Self {
        Self { transports }
    }

    /// Shakes hands over a connection there is; what is spoken on it is HTTP/1.1.
    pub(super) async fn secure(&self, to: TlsTo<'_>, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let transport = self.transports.get(to.transport).map_err(io::Error::other)?;
        let name = match to.transport {
            Some(_) => transport.server_name(to.name).map_err(io::Error::other)?,
            // What instances of the default one have to prove is not for this address.
            None => ServerName::try_from(to.name.to_owned()).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(&transport.http1)).connect(name, stream).await
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
                let transport = self.transports.get(instance.key.transport.as_deref()).map_err(io::Error::other)?;
                let name = transport.server_name(&instance.key.address).map_err(io::Error::other)?;
                let config = if upgrade { &transport.http1 } else { &transport.config };
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
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
