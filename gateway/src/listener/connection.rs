//! One connection: TLS where the entrypoint has it, then HTTP/1.1 or HTTP/2 until it ends or is told to.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Entrypoint;
use super::drain::Open;
use super::opening::{self, Opened};
use super::sniff::{self, Protocol};
use crate::http::{Client, TlsSession};
use crate::local::LocalExecutor;
use crate::proxy::{self, Worker};
use crate::timer::CoarseTimer;
use crate::tls;

/// Serves a connection to its end. How it ends is the client's business; what matters is counted where it happens.
pub(super) async fn serve(
    worker: Rc<Worker>,
    entrypoint: &Entrypoint,
    stream: TcpStream,
    peer: SocketAddr,
    open: &Open,
) {
    // Fails only on a socket that is closed already, which reading will tell.
    stream.set_nodelay(true).ok();
    let _counted = worker.telemetry.connection(entrypoint.index);
    let trusted = entrypoint.trust.includes(peer.ip());
    let body_idle = entrypoint.timeouts.body_idle.unwrap_or(std::time::Duration::MAX);
    let client = |tls: Option<TlsSession>| {
        let name = Arc::clone(&entrypoint.name);
        Arc::new(Client::new(peer, name, entrypoint.index, tls, trusted, body_idle))
    };
    match opening::open(&worker, entrypoint, stream, peer).await {
        Opened::Plain(stream) => {
            let Ok(Ok(protocol)) = timeout(entrypoint.timeouts.header, sniff::protocol(&stream)).await else { return };
            speak(protocol, stream, worker, client(None), entrypoint, open).await;
        }
        Opened::Secure(stream, options) => {
            let session = stream.get_ref().1;
            let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
            let client = client(Some(tls::session(session, options)));
            speak(protocol, stream, worker, client, entrypoint, open).await;
        }
        Opened::Over => {}
    }
}

async fn speak<S>(
    protocol: Protocol,
    stream: S,
    worker: Rc<Worker>,
    client: Arc<Client>,
    entrypoint: &Entrypoint,
    open: &Open,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, client) = (Rc::clone(&worker), Arc::clone(&client));
        async move { Ok::<_, Infallible>(proxy::handle(worker, client, request).await) }
    });
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let connection = http1_builder(entrypoint).serve_connection(io, service).with_upgrades();
            until_drained(connection, |connection| connection.graceful_shutdown(), open).await;
        }
        Protocol::Http2 => {
            let connection = http2_builder(entrypoint).serve_connection(io, service);
            until_drained(connection, |connection| connection.graceful_shutdown(), open).await;
        }
    }
}

fn http1_builder(entrypoint: &Entrypoint) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(CoarseTimer)
        // hyper counts the time between requests as reading a head, so this is the keep-alive limit as well.
        .header_read_timeout(entrypoint.timeouts.keep_alive)
        .max_headers(entrypoint.limits.header_count)
        .max_header_size(entrypoint.limits.header_bytes)
        .half_close(false);
    builder
}

fn http2_builder(entrypoint: &Entrypoint) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(CoarseTimer)
        .max_concurrent_streams(entrypoint.limits.h2_streams)
        .max_header_list_size(entrypoint.limits.h2_header_bytes)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(entrypoint.timeouts.keep_alive)
        .keep_alive_timeout(entrypoint.timeouts.header);
    builder
}

/// Runs a connection; once the worker drains it is asked to finish what is under way.
async fn until_drained<C: Future>(connection: C, finish: impl Fn(Pin<&mut C>), open: &Open) {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = open.told_to_finish() => finish(connection.as_mut()),
    }
    connection.await;
}
