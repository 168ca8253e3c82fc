//! A whole connection, from its route to its last byte: steps, a target, and bytes both ways until both sides are done.
//!
//! The walk is that of a request. What the client has sent before its route was known is given to the target first.

mod counted;
mod proxy_head;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use sluice_model::tcp::TcpTarget;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Worker;
use crate::live::{TcpRoute, TcpService, TcpStep};
use crate::state::CountedConnection;
use crate::telemetry::AccessRecord;
use counted::Counted;

/// Targets tried for one connection.
const MOST_TRIES: usize = 3;
/// A peer that is gone without a word is noticed: after this long the kernel asks whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes on their way in one direction.
const BUFFER: usize = 16 << 10;

/// A connection that has its route.
pub struct Arrived<S> {
    /// Both directions, TLS ended where the route says so.
    pub stream: S,
    /// What was read from it already.
    pub read: Vec<u8>,
    /// Where it came from.
    pub client: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// The entrypoint's name.
    pub entrypoint: Arc<str>,
    /// The name the client asked for in its handshake.
    pub server_name: Option<String>,
    /// The version, where TLS ends here.
    pub tls_version: Option<&'static str>,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    /// A side broke off.
    Broken,
    /// The client is in none of the ranges.
    NotAllowed,
    /// The client has too many connections.
    TooMany,
    NoTarget,
    ConnectTimeout,
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Broken => "broken",
            Self::NotAllowed => "not-allowed",
            Self::TooMany => "too-many",
            Self::NoTarget => "no-target",
            Self::ConnectTimeout => "connect-timeout",
        }
    }

    /// The status that says the same of a request.
    fn status(self) -> u16 {
        match self {
            Self::Done | Self::Broken => 200,
            Self::NotAllowed => 403,
            Self::TooMany => 429,
            Self::NoTarget => 502,
            Self::ConnectTimeout => 504,
        }
    }
}

/// Serves a connection to its end.
pub async fn serve<S>(worker: &Rc<Worker>, route: Arc<TcpRoute>, arrived: Arrived<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (begun, started) = (Instant::now(), SystemTime::now());
    route.service.metrics.opened();
    let Arrived { stream, read, client, local, entrypoint, server_name, tls_version } = arrived;
    let mut stream = Counted::new(stream);
    let already = read.len() as u64;
    let mut target = None;
    let ending = match enter(&route, client) {
        Err(ending) => ending,
        Ok(_places) => match connect(worker, &route.service).await {
            Err(ending) => ending,
            Ok((upstream, chosen)) => {
                target = Some(chosen);
                let head = proxy_head::bytes(route.service.spec.proxy_protocol, client, local);
                pass(&mut stream, upstream, &[&head, &read]).await
            }
        },
    };
    let (received, sent) = (already + stream.read(), stream.written());
    route.service.metrics.closed(ending.word(), received, sent);
    if worker.telemetry.wants_access_log() {
        let url = target.map(|target| format!("tcp://{}", target.authority()));
        worker.telemetry.access(&AccessRecord {
            client: Some(client),
            started,
            duration: begun.elapsed(),
            origin_duration: None,
            method: "TCP",
            path: "-",
            protocol: "TCP",
            scheme: if tls_version.is_some() { "tls" } else { "tcp" },
            host: server_name.as_deref(),
            status: ending.status(),
            origin_status: None,
            received,
            sent,
            referer: None,
            user_agent: None,
            entrypoint: &entrypoint,
            route: Some(&route.name),
            service: Some(&route.service.name),
            server_url: url.as_deref(),
            retries: 0,
            tls_version,
            flag: (ending != Ending::Done).then_some(ending.word()),
            annotations: &[],
        });
    }
}

/// Takes the connection through the route's steps; what it returns holds its places.
fn enter(route: &TcpRoute, client: SocketAddr) -> Result<Vec<CountedConnection>, Ending> {
    let ip = client.ip().to_canonical();
    let mut places = Vec::new();
    for step in route.steps.iter() {
        match step {
            TcpStep::AllowList(ranges) if ranges.iter().any(|range| range.contains(&ip)) => {}
            TcpStep::AllowList(_) => return Err(Ending::NotAllowed),
            TcpStep::InFlight(counts, most) => places.push(counts.enter(ip, *most).ok_or(Ending::TooMany)?),
        }
    }
    Ok(places)
}

/// A stream to a target, plain or TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Connects to the target whose turn it is, or to one of those after it.
async fn connect<'a>(worker: &Worker, service: &'a TcpService) -> Result<(Box<dyn Stream>, &'a TcpTarget), Ending> {
    let turn = service.turn.fetch_add(1, Ordering::Relaxed);
    let mut tried: Vec<usize> = Vec::new();
    let mut ending = Ending::NoTarget;
    for at in service.cycle.from_turn(turn) {
        let untried = |_: &&TcpTarget| !tried.contains(&at) && service.is_up(at);
        let Some(target) = service.spec.targets.get(at).filter(untried) else { continue };
        if tried.len() == MOST_TRIES {
            break;
        }
        tried.push(at);
        let error = match timeout(worker.settings.tcp.connect, open(worker, service, target)).await {
            Ok(Ok(stream)) => return Ok((stream, target)),
            Ok(Err(error)) => error,
            Err(_) => {
                ending = Ending::ConnectTimeout;
                io::ErrorKind::TimedOut.into()
            }
        };
        tracing::debug!(service = %service.name, target = target.authority(), %error, "target does not take connections");
    }
    Err(ending)
}

/// Has the kernel ask now and then whether the peer of a silent connection is still there.
pub fn keep_alive(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    // Fails only on a socket that is closed already, which reading will tell.
    SockRef::from(stream).set_tcp_keepalive(&keepalive).ok();
}

async fn open(worker: &Worker, service: &TcpService, target: &TcpTarget) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((target.address.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream);
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let transport = worker.settings.tcp.transports.get(service.spec.transport.as_deref()).map_err(io::Error::other)?;
    let name = transport.server_name(&target.address).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::clone(&transport.unnamed)).connect(name, stream).await?;
    Ok(Box::new(tls))
}

/// Gives the target what comes first, then copies until both sides have ended. One side's end is passed on and does
/// not end the other.
async fn pass<S>(client: &mut Counted<S>, mut target: Box<dyn Stream>, first: &[&[u8]]) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for bytes in first.iter().filter(|bytes| !bytes.is_empty()) {
        if target.write_all(bytes).await.is_err() {
            return Ending::Broken;
        }
    }
    match copy_bidirectional_with_sizes(client, &mut target, BUFFER, BUFFER).await {
        Ok(_) => Ending::Done,
        Err(_) => Ending::Broken,
    }
}
