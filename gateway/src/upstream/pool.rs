//! Kept connections of one worker, by instance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::connect::Connector;
use crate::http::RequestBody;
use crate::state::InstanceState;
use crate::timer::Deadline;

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

/// A connection in use.
pub struct Connection {
    pub(super) sender: Sender,
    pub(super) instance: Arc<InstanceState>,
    /// For the answer under way.
    pub(super) deadline: Deadline,
}

pub(super) enum Sender {
    /// One exchange at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Shared by all exchanges of this worker with the instance.
    Http2(http2::SendRequest<RequestBody>),
}

#[derive(Default)]
struct Kept {
    /// The most recently used is last.
    http1: Vec<Unused>,
    http2: Option<http2::SendRequest<RequestBody>>,
}

/// A connection nobody uses.
struct Unused {
    sender: http1::SendRequest<RequestBody>,
    deadline: Deadline,
    since: Instant,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(connector: Connector, limits: PoolLimits) -> Self {
        Self { connector, limits, kept: RefCell::default() }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.limits.connect
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.limits.response
    }

    /// A kept connection that is ready now, the most recently used first.
    pub(super) fn take(&self, instance: &Arc<InstanceState>) -> Option<Connection> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&instance.id)?;
        if let Some(sender) = kept.http2.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(Connection::new(Sender::Http2(sender.clone()), instance));
        }
        // One that is not ready still carries the end of a request body; it is left for later.
        let ready = (0..kept.http1.len())
            .rev()
            .find(|at| kept.http1.get(*at).is_some_and(|unused| unused.sender.is_ready()))?;
        let Unused { sender, deadline, .. } = kept.http1.remove(ready);
        Some(Connection { sender: Sender::Http1(sender), instance: Arc::clone(instance), deadline })
    }

    pub(super) async fn connect(&self, instance: &Arc<InstanceState>, upgrade: bool) -> std::io::Result<Connection> {
        let sender = self.connector.connect(instance, upgrade).await?;
        if let Sender::Http2(sender) = &sender {
            self.kept.borrow_mut().entry(instance.id).or_default().http2 = Some(sender.clone());
        }
        Ok(Connection::new(sender, instance))
    }

    /// Keeps a connection whose answer has been read to its end.
    pub fn give_back(&self, connection: Connection) {
        let Sender::Http1(sender) = connection.sender else { return };
        if sender.is_closed() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let list = &mut kept.entry(connection.instance.id).or_default().http1;
        if list.len() >= self.limits.most_idle {
            list.remove(0);
        }
        list.push(Unused { sender, deadline: connection.deadline, since: Instant::now() });
    }

    /// Closes what has not been used for too long or was closed by its peer. To be called every few seconds.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.kept.borrow_mut().retain(|_, kept| {
            kept.http1
                .retain(|unused| !unused.sender.is_closed() && now.duration_since(unused.since) < self.limits.idle);
            if kept.http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
                kept.http2 = None;
            }
            !kept.http1.is_empty() || kept.http2.is_some()
        });
    }
}

impl Connection {
    fn new(sender: Sender, instance: &Arc<InstanceState>) -> Self {
        Self { sender, instance: Arc::clone(instance), deadline: Deadline::default() }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Box<Request<RequestBody>>>)> {
        let sent = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(with_authority(request)).await,
        };
        sent.map_err(|mut error| {
            let unsent = error.take_message().map(Box::new);
            (error.into_error(), unsent)
        })
    }

    pub(super) fn can_be_kept(&self, status: StatusCode) -> bool {
        status != StatusCode::SWITCHING_PROTOCOLS && matches!(self.sender, Sender::Http1(_))
    }
}

/// HTTP/2 carries the host in its target.
fn with_authority(mut request: Request<RequestBody>) -> Request<RequestBody> {
    let host = request.headers_mut().remove(hyper::header::HOST);
    if request.uri().authority().is_some() {
        return request;
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(hyper::http::uri::Scheme::HTTP);
    parts.authority = host.and_then(|host| hyper::http::uri::Authority::try_from(host.as_bytes()).ok());
    if let Ok(uri) = hyper::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = hyper::Version::HTTP_2;
    request
}
