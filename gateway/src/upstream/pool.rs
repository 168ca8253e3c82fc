//! Kept connections of one worker, by instance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::client::conn::http2;
use hyper::http::uri;
use sluice_model::Scheme;

use super::connect::Connector;
use super::http1::Http1;
use crate::http::RequestBody;
use crate::state::InstanceState;
use crate::timer::{self, Deadline};

/// One worker's connections.
pub struct Pool {
    connector: Connector,
    limits: PoolLimits,
    kept: RefCell<HashMap<u32, Kept, foldhash::fast::FixedState>>,
}

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// For connecting, TLS included.
    pub connect: Duration,
    /// From the end of the request's head to the answer's.
    pub response: Duration,
    /// Unused connections are closed after this time.
    pub idle: Duration,
    /// Unused connections kept for each instance.
    pub most_idle: usize,
}

/// A connection that speaks HTTP/1.1, in use or kept. Moving it moves a pointer.
pub struct Connection {
    pub(super) held: Box<Held>,
}

pub(super) struct Held {
    pub(super) wire: Http1,
    pub(super) instance: Arc<InstanceState>,
    /// For the answer under way.
    pub(super) deadline: Deadline,
    /// When it was given back.
    unused_since: Instant,
}

/// How an instance can be reached.
pub(super) enum Way {
    /// For one exchange at a time.
    Http1(Connection),
    /// Shared by all exchanges of this worker with the instance.
    Http2(http2::SendRequest<RequestBody>),
}

struct Kept {
    /// Gone once no generation and no request uses it any more.
    instance: Weak<InstanceState>,
    /// The most recently used is last.
    http1: Vec<Connection>,
    http2: Option<http2::SendRequest<RequestBody>>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(connector: Connector, limits: PoolLimits) -> Self {
        Self { connector, limits, kept: RefCell::default() }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.limits.connect
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.limits.response
    }

    /// A kept connection that can be used now, the most recently used first. An upgrade needs HTTP/1.1.
    pub(super) fn take(&self, instance: &Arc<InstanceState>, upgrade: bool) -> Option<Way> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&instance.id)?;
        if !upgrade && let Some(sender) = kept.http2.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(Way::Http2(sender.clone()));
        }
        while let Some(mut connection) = kept.http1.pop() {
            if connection.held.wire.is_usable() {
                return Some(Way::Http1(connection));
            }
        }
        None
    }

    pub(super) async fn connect(&self, instance: &Arc<InstanceState>, upgrade: bool) -> std::io::Result<Way> {
        let way = self.connector.connect(instance, upgrade).await?;
        if let Way::Http2(sender) = &way {
            self.kept.borrow_mut().entry(instance.id).or_insert_with(|| Kept::of(instance)).http2 =
                Some(sender.clone());
        }
        Ok(way)
    }

    /// Keeps a connection whose answer has been read to its end, if it can be used again.
    pub fn give_back(&self, mut connection: Connection) {
        connection.held.wire.rest();
        if !connection.held.wire.is_finished() {
            return;
        }
        connection.held.unused_since = timer::now();
        let mut kept = self.kept.borrow_mut();
        let instance = &connection.held.instance;
        let list = &mut kept.entry(instance.id).or_insert_with(|| Kept::of(instance)).http1;
        if list.len() >= self.limits.most_idle {
            list.remove(0);
        }
        list.push(connection);
    }

    /// Closes what has not been used for too long, was closed by its peer, or leads to an instance nobody uses any more.
    /// To be called every few seconds.
    pub fn sweep(&self) {
        let now = timer::now();
        self.kept.borrow_mut().retain(|_, kept| {
            if kept.instance.strong_count() == 0 {
                return false;
            }
            kept.http1.retain_mut(|unused| {
                now.duration_since(unused.held.unused_since) < self.limits.idle && unused.held.wire.is_usable()
            });
            if kept.http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
                kept.http2 = None;
            }
            !kept.http1.is_empty() || kept.http2.is_some()
        });
    }
}

impl Kept {
    fn of(instance: &Arc<InstanceState>) -> Self {
        Self { instance: Arc::downgrade(instance), http1: Vec::new(), http2: None }
    }
}

impl Connection {
    pub(super) fn new(wire: Http1, instance: &Arc<InstanceState>) -> Self {
        let (instance, deadline) = (Arc::clone(instance), Deadline::default());
        Self { held: Box::new(Held { wire, instance, deadline, unused_since: timer::now() }) }
    }

    pub(super) fn into_wire(self) -> Http1 {
        self.held.wire
    }
}

/// HTTP/2 carries the host in its target.
pub(super) fn with_authority(mut request: Request<RequestBody>, scheme: Scheme) -> Request<RequestBody> {
    let host = request.headers_mut().remove(hyper::header::HOST);
    // A request that comes back unsent has been here before, and may be for another host now.
    let Some(host) = host else { return request };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if scheme == Scheme::Https { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    parts.authority = uri::Authority::try_from(host.as_bytes()).ok();
    if let Ok(uri) = hyper::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = hyper::Version::HTTP_2;
    request
}
