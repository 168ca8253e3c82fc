//! Copies of requests for mirrors. They are sent once the request itself has gone out, so that they can neither delay it
//! nor make it fail; nobody sees their answers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue, TRAILER};
use hyper::http::request;
use tokio::sync::oneshot;

use super::Worker;
use super::forward::put_before;
use crate::balance::{self, Asking};
use crate::http::RequestBody;
use crate::live::{Kind, Mirror, Mirroring, Service};

/// Copies a worker has under way at most; what comes on top is not copied.
const MOST_COPIES: u32 = 256;
/// Of a mirror's answer, so much is read for the connection to be used again.
const MOST_ANSWER: usize = 64 * 1024;
/// For a copy as a whole, from when the request has gone out.
const LONGEST: Duration = Duration::from_secs(60);

/// A request's copy for one mirror.
pub(super) struct Copy {
    service: Arc<Service>,
    /// The body once it has gone by; `None` where it is not copied.
    body: Option<oneshot::Receiver<Bytes>>,
}

/// A copy under way, until it is dropped.
struct UnderWay(Rc<Worker>);

/// The copies that are due of this request.
pub(super) fn due<'a>(mirroring: &'a Mirroring, body: &'a mut RequestBody) -> impl Iterator<Item = Copy> + 'a {
    mirroring.mirrors.iter().filter(|mirror| is_due(mirror)).map(|mirror| Copy {
        service: Arc::clone(&mirror.service),
        body: mirroring.body.then(|| body.copied(mirroring.most_body)),
    })
}

/// So many of a hundred, spread evenly.
fn is_due(mirror: &Mirror) -> bool {
    let (turn, percent) = (mirror.state.next_turn() % 100, mirror.percent as usize);
    (turn + 1) * percent / 100 > turn * percent / 100
}

/// Sends a copy as soon as the body is there. `head` is finished; `authority` is the client's Host header.
pub(super) fn start(worker: &Rc<Worker>, copy: Copy, head: &request::Parts, authority: &HeaderValue) {
    if worker.copies.get() >= MOST_COPIES {
        tracing::debug!(service = %copy.service.name, "too many copies under way; this one is not sent");
        return;
    }
    let (mut head, authority) = (head.clone(), authority.clone());
    if !may_have_credentials(&worker.settings.mirror_credentials, &copy.service.name) {
        head.headers.remove(AUTHORIZATION);
        head.headers.remove(COOKIE);
    }
    worker.copies.set(worker.copies.get() + 1);
    let under_way = UnderWay(Rc::clone(worker));
    tokio::task::spawn_local(async move {
        let worker = &under_way.0;
        let body = match copy.body {
            Some(body) => match body.await {
                Ok(body) => body,
                // Too long, or broken off.
                Err(_) => return,
            },
            None => Bytes::new(),
        };
        tokio::time::timeout(LONGEST, send(worker, &copy.service, head, &authority, body)).await.ok();
    });
}

/// Whether a mirror is listed among those, by its full name or without its provider.
fn may_have_credentials(listed: &[String], name: &str) -> bool {
    let local = name.rsplit_once('@').map_or(name, |(local, _)| local);
    listed.iter().any(|listed| listed == name || listed == local)
}

async fn send(worker: &Worker, service: &Arc<Service>, mut head: request::Parts, authority: &HeaderValue, body: Bytes) {
    let client = HeaderValue::from_static("mirror");
    let asking = Asking { client: &client, headers: None };
    let Some(leaf) = leaf(service, asking) else { return };
    let Some(balancer) = leaf.balancer() else { return };
    let Some(picked) = balance::pick(balancer, asking, &[]) else { return };
    put_before("", picked.endpoint, &mut head.uri);
    for name in [CONNECTION, TRAILER, EXPECT, CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    let host = if balancer.pass_host_header { authority } else { &picked.endpoint.host };
    head.headers.insert(HOST, host.clone());
    let request = Request::from_parts(head, RequestBody::whole(body));
    let answer = match worker.pool.send(picked.lease.instance(), request, false).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(service = %leaf.name, cause = error.cause, "mirror did not answer");
            return;
        }
    };
    let mut answered = answer.into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = answered.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST_ANSWER {
            return;
        }
    }
    if let Some(connection) = answered.take_connection() {
        worker.pool.give_back(connection);
    }
}

/// The service with instances that answers for a mirror.
fn leaf<'a>(service: &'a Arc<Service>, asking: Asking<'_>) -> Option<&'a Arc<Service>> {
    let mut at = service;
    loop {
        at = match &at.kind {
            Kind::Balancer(_) => return Some(at),
            Kind::Weighted(weighted) => &balance::choose(weighted, asking)?.part.service,
            Kind::Mirroring(mirroring) => &mirroring.main,
            Kind::Failover(failover) => match &failover.fallback {
                Some(fallback) if !failover.main.is_up() => fallback,
                _ => &failover.main,
            },
        };
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get().saturating_sub(1));
    }
}
