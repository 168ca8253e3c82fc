//! One question to one instance, on a connection of its own: a kept one would say nothing of whether new ones can be made.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_model::Scheme;
use sluice_model::service::{CheckProtocol, HealthCheck};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::grpc;
use crate::live::Transports;
use crate::state::CheckKey;

/// Redirects followed before an answer counts as bad.
const MOST_REDIRECTS: usize = 10;
/// What checks call themselves, so that instances can leave them out of their logs.
const AGENT: &str = concat!("sluice-health-check/", env!("CARGO_PKG_VERSION"));

/// Names in ALPN.
const HTTP1: Option<&[u8]> = Some(b"http/1.1");
const HTTP2: Option<&[u8]> = Some(b"h2");

/// Who is asked, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) address: String,
    pub(super) port: u16,
    path: String,
}

/// Asks once. There is no limit on time here.
pub(super) async fn ask(key: &CheckKey, transports: &Transports) -> Result<(), String> {
    let check = &key.check;
    let place = Place {
        scheme: check.scheme.unwrap_or(key.instance.scheme),
        address: key.instance.address.clone(),
        port: check.port.unwrap_or(key.instance.port),
        path: check.path.clone(),
    };
    let transport = key.instance.transport.as_deref();
    match check.protocol {
        CheckProtocol::Tcp if check.send.is_empty() && check.expect.is_empty() => connect(&place).await.map(drop),
        CheckProtocol::Tcp => talk(open(&place, transports, transport, None).await?, check).await,
        CheckProtocol::Grpc => grpc::ask(open(&place, transports, transport, HTTP2).await?, check, &place).await,
        CheckProtocol::Http => http(check, place, transports, transport).await,
    }
}

/// Says what there is to say, and reads as much as is expected.
async fn talk(stream: Stream, check: &HealthCheck) -> Result<(), String> {
    match stream {
        Stream::Plain(stream) => talk_on(stream, check).await,
        Stream::Tls(stream) => talk_on(stream, check).await,
    }
}

async fn talk_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, check: &HealthCheck) -> Result<(), String> {
    stream.write_all(check.send.as_bytes()).await.map_err(|error| format!("sending: {error}"))?;
    stream.flush().await.map_err(|error| format!("sending: {error}"))?;
    let mut read = vec![0; check.expect.len()];
    stream.read_exact(&mut read).await.map_err(|error| format!("reading: {error}"))?;
    if read == check.expect.as_bytes() {
        return Ok(());
    }
    Err(format!("the answer begins with `{}`, not with `{}`", read.escape_ascii(), check.expect.escape_default()))
}

async fn http(
    check: &HealthCheck,
    mut place: Place,
    transports: &Transports,
    transport: Option<&str>,
) -> Result<(), String> {
    for _ in 0..=MOST_REDIRECTS {
        let request = request(check, &place)?;
        let spoken = if place.scheme == Scheme::H2c { HTTP2 } else { HTTP1 };
        let stream = open(&place, transports, transport, spoken).await?;
        let answer = exchange(stream, request, place.scheme == Scheme::H2c).await?;
        let status = answer.status().as_u16();
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        match location.filter(|_| check.follow_redirects && answer.status().is_redirection()) {
            Some(location) => place = place.redirected(location)?,
            None if check.status.map_or((200..400).contains(&status), |wanted| wanted == status) => return Ok(()),
            None => return Err(format!("status {status}")),
        }
    }
    Err(format!("more than {MOST_REDIRECTS} redirects"))
}

fn request(check: &HealthCheck, place: &Place) -> Result<Request<Full<Bytes>>, String> {
    let host = if check.host.is_empty() { place.authority() } else { check.host.clone() };
    let target = if place.scheme == Scheme::H2c { format!("http://{host}{}", place.path) } else { place.path.clone() };
    let mut request = Request::builder().method(check.method.as_str()).uri(target).header(USER_AGENT, AGENT);
    if place.scheme != Scheme::H2c {
        request = request.header(HOST, host);
    }
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    request.body(Full::default()).map_err(|error| format!("the check's request: {error}"))
}

pub(super) async fn connect(place: &Place) -> Result<TcpStream, String> {
    let address = (place.address.as_str(), place.port);
    TcpStream::connect(address).await.map_err(|error| format!("connecting to {}: {error}", place.authority()))
}

/// A connection, plain or over TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// `spoken` is what the target has to agree to over TLS, by its name in ALPN.
async fn open(
    place: &Place,
    transports: &Transports,
    transport: Option<&str>,
    spoken: Option<&[u8]>,
) -> Result<Stream, String> {
    let stream = connect(place).await?;
    if place.scheme != Scheme::Https {
        return Ok(Stream::Plain(stream));
    }
    let transport = transports.get(transport)?;
    let mut config = (*transport.config).clone();
    config.alpn_protocols = spoken.into_iter().map(<[u8]>::to_vec).collect();
    let name = transport.server_name(&place.address).map_err(|error| format!("TLS: {error}"))?;
    let connected = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await;
    connected.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| format!("TLS: {error}"))
}

/// Sends a request; the answer's body is not waited for.
pub(super) async fn exchange(
    stream: Stream,
    request: Request<Full<Bytes>>,
    http2: bool,
) -> Result<Response<Incoming>, String> {
    match stream {
        Stream::Plain(stream) => exchange_on(stream, request, http2).await,
        Stream::Tls(stream) => exchange_on(stream, request, http2).await,
    }
    .map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    http2: bool,
) -> hyper::Result<Response<Incoming>> {
    // The connection ends with the answer.
    if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(async move { connection.await.ok() });
        return sender.send_request(request).await;
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move { connection.await.ok() });
    sender.send_request(request).await
}

impl Place {
    /// `address:port`, as in a Host header.
    pub(super) fn authority(&self) -> String {
        let Self { address, port, .. } = self;
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    }

    /// Where a redirect leads.
    fn redirected(&self, location: &str) -> Result<Self, String> {
        let uri: Uri = location.parse().map_err(|_| format!("redirected to `{location}`, which is no URL"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let Some(host) = uri.host() else { return Ok(Self { path, ..self.clone() }) };
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(format!("redirected to `{location}`, which is not HTTP")),
        };
        let port = uri.port_u16().unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        let address = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { scheme, address, port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_another_path_or_place() {
        let place = |scheme, address: &str, port, path: &str| Place {
            scheme,
            address: address.into(),
            port,
            path: path.into(),
        };
        let here = place(Scheme::Http, "10.0.0.1", 81, "/health");
        assert_eq!(here.redirected("/ok?x=1"), Ok(place(Scheme::Http, "10.0.0.1", 81, "/ok?x=1")));
        assert_eq!(here.redirected("https://a.test/x"), Ok(place(Scheme::Https, "a.test", 443, "/x")));
        assert_eq!(here.redirected("http://[fd00::1]:90"), Ok(place(Scheme::Http, "fd00::1", 90, "/")));
        assert!(here.redirected("ftp://a.test/").is_err() && here.redirected("http://").is_err());
        assert_eq!(here.redirected("http://[fd00::1]:90").map(|place| place.authority()), Ok("[fd00::1]:90".into()));
    }
}
