//! The first moments of a connection: TLS or not, HTTP or not, and the handshake where it ends here.
//!
//! Only entrypoints that some route wants TLS or whole connections from are looked at closely; on the others a
//! connection is what the entrypoint is. Of the routes, those for a whole connection go before those for requests, as in
//! Traefik: plain ones always, TLS ones unless a route for requests names the host, catch-alls last.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sluice_model::tcp::{ConnectionView, TcpTls};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Entrypoint, sniff};
use crate::live::{EntrypointTable, TcpRoute};
use crate::proxy::{Arrived, Worker, keep_alive, serve_tcp};
use crate::tls::{self, Hello, HelloError};

/// What a connection turned out to be.
pub(super) enum Opened {
    /// HTTP without TLS.
    Plain(TcpStream),
    /// TLS for HTTP, ended here with the options of that number.
    Secure(Box<TlsStream<TcpStream>>, usize),
    /// It is over: somebody else's, refused, or never begun.
    Over,
}

/// A connection on its way.
struct Opening<'a> {
    worker: &'a Rc<Worker>,
    entrypoint: &'a Entrypoint,
    peer: SocketAddr,
    deadline: Instant,
}

/// Finds out what a connection is. Whole connections are served here, to their end.
pub(super) async fn open(worker: &Rc<Worker>, entrypoint: &Entrypoint, stream: TcpStream, peer: SocketAddr) -> Opened {
    let deadline = Instant::now() + entrypoint.timeouts.tls_handshake;
    let opening = Opening { worker, entrypoint, peer, deadline };
    let ways = Ways::of(&worker.generation().entrypoints, entrypoint);
    match ways {
        Ways::Plain => Opened::Plain(stream),
        // Apart, so that plain connections do not keep room for handshakes all their life.
        Ways::Tls => Box::pin(opening.accept(stream)).await,
        _ => Box::pin(opening.look(ways, stream)).await,
    }
}

/// What connections of an entrypoint can be, as its routes are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    /// HTTP without TLS, nothing else.
    Plain,
    /// HTTP over TLS with the same options for every host.
    Tls,
    /// TLS; what becomes of it depends on the handshake's first message.
    TlsByName,
    /// Plain, and a TCP route may take it: to be decided before the client says anything, since it may wait for the
    /// target to speak first.
    AnyTcp,
    /// The first byte decides.
    Mixed,
}

impl Ways {
    fn of(tables: &[EntrypointTable], entrypoint: &Entrypoint) -> Self {
        let Some(table) = tables.get(entrypoint.index) else { return Self::Plain };
        let (plain_tcp, tls_tcp) =
            table.tcp.as_ref().map_or((false, false), |tcp| (!tcp.plain.is_empty(), !tcp.tls.is_empty()));
        let some_tls = tls_tcp || table.secure.is_some();
        match (entrypoint.is_tls, plain_tcp, some_tls) {
            (true, true, _) | (false, _, true) => Self::Mixed,
            (true, false, _) if tls_tcp || !table.tls.is_uniform() => Self::TlsByName,
            (true, false, _) => Self::Tls,
            (false, true, false) => Self::AnyTcp,
            (false, false, false) => Self::Plain,
        }
    }
}

/// Whether a connection begins as TLS does; `None` where it does not begin in time.
async fn first_is_tls(stream: &TcpStream, limit: Duration) -> Option<bool> {
    let mut first = [0];
    match timeout(limit, stream.peek(&mut first)).await {
        Ok(Ok(1)) => Some(first == [sniff::TLS_HANDSHAKE]),
        _ => None,
    }
}

impl Opening<'_> {
    async fn look(&self, ways: Ways, stream: TcpStream) -> Opened {
        match ways {
            Ways::TlsByName => self.hello(stream).await,
            Ways::Plain | Ways::Tls | Ways::AnyTcp => self.plain(stream).await,
            Ways::Mixed => match first_is_tls(&stream, self.entrypoint.timeouts.header).await {
                Some(true) => self.hello(stream).await,
                Some(false) => self.plain(stream).await,
                None => Opened::Over,
            },
        }
    }

    /// A plain connection: a TCP route's, else HTTP; on an entrypoint that is TLS as a whole it is told so.
    async fn plain(&self, stream: TcpStream) -> Opened {
        let route = self.with_table(|table| table.tcp.as_ref()?.plain(self.peer.ip().to_canonical()).map(Arc::clone));
        match route {
            Some(route) => {
                keep_alive(&stream);
                let local = stream.local_addr().unwrap_or(self.peer);
                self.serve(route, self.arrived(stream, local, Vec::new(), None, None)).await
            }
            None if self.entrypoint.is_tls => self.accept(stream).await,
            None => Opened::Plain(stream),
        }
    }

    /// TLS for HTTP, with the entrypoint's own options.
    async fn accept(&self, stream: TcpStream) -> Opened {
        let Some(config) = self.entrypoint.tls.requests(0) else { return Opened::Over };
        self.finish(timeout_at(self.deadline, TlsAcceptor::from(config).accept(stream)).await, 0)
    }

    /// TLS whose first message decides.
    async fn hello(&self, stream: TcpStream) -> Opened {
        let hello = match timeout_at(self.deadline, Hello::read(stream)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => return self.failed(hello_reason(&error)),
            Err(_) => return self.failed("tls-timeout"),
        };
        let name = hello.server_name();
        match self.route_of(&hello, name.as_deref()) {
            Way::Tcp(route) => self.tcp(hello, name, route).await,
            Way::Requests(options) => {
                let Some(config) = self.entrypoint.tls.requests(options) else { return Opened::Over };
                self.finish(timeout_at(self.deadline, hello.accept(config)).await, options)
            }
        }
    }

    fn finish(
        &self,
        made: Result<std::io::Result<TlsStream<TcpStream>>, tokio::time::error::Elapsed>,
        options: usize,
    ) -> Opened {
        match made {
            Ok(Ok(stream)) => Opened::Secure(Box::new(stream), options),
            Ok(Err(_)) => self.failed("tls-handshake"),
            Err(_) => self.failed("tls-timeout"),
        }
    }

    fn failed(&self, reason: &'static str) -> Opened {
        self.worker.telemetry.connection_failed(reason);
        Opened::Over
    }

    fn with_table<T>(&self, look: impl FnOnce(&EntrypointTable) -> Option<T>) -> Option<T> {
        look(self.worker.generation().entrypoints.get(self.entrypoint.index)?)
    }

    /// Routes for requests that name the host, TCP routes, routes for requests that name no host, and the TCP
    /// catch-all, in this order.
    fn route_of(&self, hello: &Hello, name: Option<&str>) -> Way {
        let alpn = hello.alpn();
        let alpn: Vec<&[u8]> = alpn.iter().map(Vec::as_slice).collect();
        let view = ConnectionView {
            server_name: name.unwrap_or_default(),
            alpn: &alpn,
            client: self.peer.ip().to_canonical(),
        };
        let way = self.with_table(|table| {
            let requests = table.routes(true);
            let for_requests = Way::Requests(table.tls.options(view.server_name));
            let names_host = name.is_some_and(|name| requests.has_host(name));
            let tcp = table.tcp.as_ref().filter(|_| !names_host).and_then(|tcp| tcp.tls.find(&view));
            Some(match tcp {
                Some(route) if !route.rule.is_catch_all() || !requests.has_any_host() => Way::Tcp(Arc::clone(route)),
                _ => for_requests,
            })
        });
        way.unwrap_or(Way::Requests(0))
    }

    /// A TLS connection that is passed on, as it is or without its TLS.
    async fn tcp(&self, hello: Hello, name: Option<String>, route: Arc<TcpRoute>) -> Opened {
        if route.spec.tls == TcpTls::Passthrough {
            let (stream, read) = hello.into_parts();
            keep_alive(&stream);
            let local = stream.local_addr().unwrap_or(self.peer);
            return self.serve(route, self.arrived(stream, local, read, name, None)).await;
        }
        let Some(config) = self.entrypoint.tls.connections(route.options) else { return Opened::Over };
        let stream = match timeout_at(self.deadline, hello.accept(config)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return self.failed("tls-handshake"),
            Err(_) => return self.failed("tls-timeout"),
        };
        keep_alive(stream.get_ref().0);
        let local = stream.get_ref().0.local_addr().unwrap_or(self.peer);
        let version = tls::session(stream.get_ref().1, route.options).version;
        self.serve(route, self.arrived(stream, local, Vec::new(), name, Some(version))).await
    }

    fn arrived<S>(
        &self,
        stream: S,
        local: SocketAddr,
        read: Vec<u8>,
        server_name: Option<String>,
        tls_version: Option<&'static str>,
    ) -> Arrived<S> {
        let entrypoint = Arc::clone(&self.entrypoint.name);
        Arrived { stream, read, client: self.peer, local, entrypoint, server_name, tls_version }
    }

    async fn serve<S>(&self, route: Arc<TcpRoute>, arrived: Arrived<S>) -> Opened
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        serve_tcp(self.worker, route, arrived).await;
        Opened::Over
    }
}

/// What becomes of a TLS connection.
enum Way {
    Tcp(Arc<TcpRoute>),
    /// With the options of that number.
    Requests(usize),
}

fn hello_reason(error: &HelloError) -> &'static str {
    match error {
        HelloError::Io(_) => "tls-eof",
        HelloError::Invalid(_) => "tls-hello",
        HelloError::TooLarge => "tls-hello-too-large",
    }
}
