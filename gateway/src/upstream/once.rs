//! An exchange with an address that is no instance's, on a connection for it alone.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Pool;

/// More response headers than this and the answer is refused.
const MOST_HEADERS: usize = 256;

/// How TLS is spoken to an address.
#[derive(Clone, Copy, Debug)]
pub struct TlsTo<'a> {
    /// What it has to prove to be, unless the transport says another name.
    pub name: &'a str,
    /// By name; the default one where there is none.
    pub transport: Option<&'a str>,
}

impl Pool {
    /// Sends a request to an address, with TLS where it is spoken.
    ///
    /// # Errors
    /// There is no connection or no answer.
    pub async fn send_once(
        &self,
        address: SocketAddr,
        tls: Option<TlsTo<'_>>,
        request: Request<Full<Bytes>>,
    ) -> io::Result<Response<Incoming>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match tls {
            None => exchange(stream, request).await,
            Some(to) => exchange(self.connector().secure(to, stream).await?, request).await,
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let shake = http1::Builder::new().max_headers(MOST_HEADERS).handshake(TokioIo::new(stream));
    let (mut sender, connection) = shake.await.map_err(io::Error::other)?;
    // It ends with the answer's body; its errors reach whoever waits for that.
    tokio::task::spawn_local(async move { connection.await.ok() });
    sender.send_request(request).await.map_err(io::Error::other)
}
