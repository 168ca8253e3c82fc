//! Steps 4 to 8 of a request, named in order by [`handle`]: route, chain, balance, upstream, chain in reverse.
//!
//! Takes a request hyper has parsed; gives a response, always. What goes wrong on the way becomes a reply in `http`,
//! a line in the access log and a count in `telemetry`; nothing here panics or waits without a limit.

mod again;
mod bodies;
mod chain;
mod composite;
mod compress;
mod eject;
mod errands;
mod forward;
mod grpc_web;
mod mirror;
mod outbound;
mod planned;
mod steps;
mod stream;
mod tcp;
mod trace;
mod traced;
mod tries;
mod tunnel;
mod worker;

pub use tcp::{Arrived, keep_alive, serve as serve_tcp};
pub use worker::{Settings, TcpSettings, Worker};

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, StatusCode};

use crate::http::{Body, Client, Failure, OUT_OF_MEMORY, accept, is_about_server, plain, refusal, unread};
use crate::state::Shortage;
use chain::Enter;
use trace::Trace;

/// Handles one request from its head to the head of its response; the body's end is seen to by `stream`.
pub async fn handle(worker: Rc<Worker>, client: Arc<Client>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut trace = Trace::begin(&worker, &client, &head);
    if is_about_server(&head) {
        return trace.answered(plain(StatusCode::NO_CONTENT, ""), Vec::new());
    }
    let version = head.version;
    if worker.overload.shortage() >= Shortage::Requests {
        return trace.refused(OUT_OF_MEMORY, refusal(OUT_OF_MEMORY, version));
    }
    let mut exchange = match accept(head, client) {
        Ok(exchange) => exchange,
        Err(refused) => return trace.refused(refused, refusal(refused, version)),
    };
    exchange.has_body = !body.is_end_stream();
    let expects = exchange.expects;
    let generation = worker.generation();
    let Some(entrypoint) = generation.entrypoints.get(exchange.client.entrypoint_index) else {
        return unread(trace.failed(Failure::NoRoute), expects);
    };
    trace.arrived(entrypoint.unnoted);
    if let Some(tls) = &exchange.client.tls
        && tls.options != entrypoint.tls.options(&exchange.host)
    {
        return unread(trace.failed(Failure::Misdirected), expects);
    }
    let Some(route) = entrypoint.routes(exchange.client.is_tls()).find(&exchange.view()) else {
        return unread(trace.failed(Failure::NoRoute), expects);
    };
    trace.routed(route);
    let Enter { exchange, passed, plan, stopped, service } =
        chain::enter(&worker, exchange, &[&entrypoint.prelude, &route.chain], route).await;
    match stopped {
        Some(stopped) => {
            let leaving = chain::leave_early(&worker, exchange, passed, stopped, trace);
            unread(Box::pin(leaving).await, expects)
        }
        None => {
            let service = service.as_ref().unwrap_or(&route.service);
            forward::forward(&worker, service, exchange, body, plan, passed, trace).await
        }
    }
}
