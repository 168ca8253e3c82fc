//! One connection: TLS where the entrypoint has it, then HTTP/1.1 or HTTP/2 until it ends or is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::drain::Open;
use super::life::{self, End, Life, Span};
use super::opening::{self, Opened};
use super::sniff::{self, Protocol};
use super::streams::StreamExecutor;
use super::{Entrypoint, proxied};
use crate::http::{Client, FrameStream, StrictStream, TlsSession};
use crate::proxy::{self, Worker};
use crate::timer::{CoarseTimer, within};
use crate::tls;

/// Serves a connection to its end. How it ends is the client's business; what matters is counted where it happens.
pub(super) async fn serve(
    worker: Rc<Worker>,
    entrypoint: &Entrypoint,
    stream: TcpStream,
    peer: SocketAddr,
    open: &Open,
) {
    let _counted = worker.telemetry.connection(entrypoint.index);
    let Ok(peer) = proxied::client(&stream, peer, entrypoint).await else {
        return worker.telemetry.rejected("proxy_protocol");
    };
    let trust = entrypoint.trust.includes(peer.ip()).then(|| Arc::clone(&entrypoint.trust));
    let client = |tls: Option<TlsSession>| {
        let name = Arc::clone(&entrypoint.name);
        Arc::new(Client::new(peer, name, entrypoint.index, tls, trust, entrypoint.rules))
    };
    match opening::open(&worker, entrypoint, stream, peer).await {
        Opened::Plain(stream) => {
            let Some(protocol) = within(entrypoint.timeouts.header, sniff::protocol(&stream)).await else {
                return worker.telemetry.rejected("first_byte_timeout");
            };
            // One that is closed before its first byte was a look whether somebody is here.
            let Ok(protocol) = protocol else { return };
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
    let guarded = Arc::clone(&client);
    let life = Rc::new(Life::default());
    let lived = Rc::clone(&life);
    let count = worker.telemetry.rejections();
    let overload = Arc::clone(&worker.overload);
    let service = service_fn(move |request: Request<Incoming>| {
        let under_way = lived.begin();
        let (worker, client) = (Rc::clone(&worker), Arc::clone(&client));
        async move {
            // On the heap for as long as it runs: hyper keeps room for what it is given as long as the connection lives.
            let answer = Box::into_pin(Box::write(Box::new_uninit(), proxy::handle(worker, client, request))).await;
            drop(under_way);
            Ok::<_, Infallible>(answer)
        }
    });
    match protocol {
        Protocol::Http1 => {
            let mut stream = StrictStream::new(stream, Arc::clone(&guarded), &entrypoint.limits, &entrypoint.timeouts);
            let span = Span::of_http1(&entrypoint.limits, &entrypoint.timeouts, overload);
            let (builder, rests) = (http1_builder(entrypoint), || guarded.is_resting());
            loop {
                // On the heap, and only while it is needed: a client that rests costs next to nothing.
                let mut connection = Box::new(builder.serve_connection(TokioIo::new(stream), &service).with_upgrades());
                let finish = |connection: Pin<&mut http1::UpgradeableConnection<_, _>>| connection.graceful_shutdown();
                if life::run(Pin::new(&mut *connection), finish, rests, &life, &span, open).await == End::Closed {
                    break;
                }
                // With nothing under way hyper holds nothing back, and what it holds must not outlive this.
                stream = match connection.into_parts() {
                    Some(parts) if parts.read_buf.is_empty() => parts.io.into_inner(),
                    _ => break,
                };
                life::rest(|cx| stream.poll_news(cx), &life, &span, open).await;
            }
            wait_for_tunnel(&guarded, open).await;
        }
        Protocol::Http2 => {
            let stall = entrypoint.timeouts.send_idle.unwrap_or(Duration::MAX);
            let io = TokioIo::new(FrameStream::new(stream, stall, count.clone()));
            let streams = StreamExecutor::new(Rc::clone(&life), stall, count);
            // On the heap, so that those of HTTP/1 do not keep room for it.
            let mut connection = Box::pin(http2_builder(entrypoint, streams).serve_connection(io, service));
            let span = Span::of_http2(&entrypoint.limits, &entrypoint.timeouts, overload);
            life::run(connection.as_mut(), |connection| connection.graceful_shutdown(), || false, &life, &span, open)
                .await;
        }
    }
}

/// A connection that changed its protocol is still one: it counts, and it is told to end.
async fn wait_for_tunnel(client: &Client, open: &Open) {
    let Some(tunnel) = client.tunnel() else { return };
    tokio::select! {
        () = tunnel.over() => return,
        () = open.told_to_finish() => tunnel.leave(),
    }
    tunnel.over().await;
}

/// Headers hyper takes where it is not told a number.
const HYPERS_MOST_HEADERS: usize = 100;

fn http1_builder(entrypoint: &Entrypoint) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The strict reader sees to it that heads, and the next request, come in time.
    builder.header_read_timeout(None).half_close(false);
    // The strict reader counts them; with a number of its own hyper would keep them on the heap.
    if entrypoint.limits.header_count > HYPERS_MOST_HEADERS {
        builder.max_headers(entrypoint.limits.header_count);
    }
    builder
}

fn http2_builder(entrypoint: &Entrypoint, streams: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(CoarseTimer)
        .max_concurrent_streams(entrypoint.limits.h2_streams)
        .max_header_list_size(entrypoint.limits.h2_header_bytes)
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(entrypoint.timeouts.keep_alive)
        .keep_alive_timeout(entrypoint.timeouts.header);
    builder
}
