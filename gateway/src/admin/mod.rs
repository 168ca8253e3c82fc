//! The admin API: what the gateway is doing and why, as JSON, on an address of its own.
//!
//! Takes requests on the background runtime; reads `live` and the control plane's status. Reads are GET, changes are
//! POST. It shares nothing with the data plane's listeners, so it answers while those are overloaded, and no route can
//! ever lead to it.

mod action_view;
mod answer;
mod auth;
mod discovery;
pub mod explain;
mod http_view;
mod listing;
mod metrics;
mod plugins;
mod probes;
mod server;
mod services;
mod tcp_view;

pub use server::{AdminError, serve};

use std::sync::Arc;

use hyper::{Method, Response, StatusCode, Uri};
use tokio::sync::watch;

use crate::config::Config;
use crate::control::Tracker;
use crate::listener::Phase;
use crate::live::Live;
use crate::state::{Instances, Registry};
use crate::telemetry::Telemetry;
use answer::{Body, json, message};

/// What the admin API can see.
#[derive(Clone)]
pub struct View {
    /// The validated configuration.
    pub config: Arc<Config>,
    /// The generation in force.
    pub live: Live,
    /// The control plane's status.
    pub tracker: Arc<Tracker>,
    /// State that outlives generations.
    pub state: Arc<Registry>,
    /// Instances and their load.
    pub instances: Arc<Instances>,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// Whether the gateway is going away.
    pub phase: watch::Receiver<Phase>,
}

/// The whole API on one page.
fn dispatch(view: &View, method: &Method, uri: &Uri, body: &[u8]) -> Response<Body> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let read = *method == Method::GET || *method == Method::HEAD;
    match segments.as_slice() {
        ["api", "discovery", "accept"] if *method == Method::POST => discovery::accept(view),
        ["api", "policies", name, "force"] if *method == Method::POST => plugins::force(view, name, body),
        _ if !read => message(StatusCode::METHOD_NOT_ALLOWED, "this path is read with GET"),
        ["ping"] => probes::ping(),
        ["ready"] => probes::ready(view),
        ["metrics"] => probes::metrics(view),
        ["api", "version"] => probes::version(),
        ["api", "generation"] => probes::generation(view),
        ["api", "overview"] => json(&http_view::overview(view)),
        ["api", "rawdata"] => json(&http_view::raw_data(view)),
        ["api", "entrypoints"] => listing::page(http_view::entrypoints(view), query),
        ["api", "entrypoints", name] => one(http_view::entrypoints(view), name),
        ["api", "http", "routers"] => listing::page(http_view::routers(view), query),
        ["api", "http", "routers", name] => one(http_view::routers(view), name),
        ["api", "http", "services"] => listing::page(services::list(view), query),
        ["api", "http", "services", name] => one(services::list(view), name),
        ["api", "http", "middlewares"] => listing::page(http_view::middlewares(view), query),
        ["api", "http", "middlewares", name] => one(http_view::middlewares(view), name),
        ["api", "tcp", "routers"] => listing::page(tcp_view::routers(view), query),
        ["api", "tcp", "routers", name] => one(tcp_view::routers(view), name),
        ["api", "tcp", "services"] => listing::page(tcp_view::services(view), query),
        ["api", "tcp", "services", name] => one(tcp_view::services(view), name),
        ["api", "tcp", "middlewares"] => listing::page(tcp_view::middlewares(view), query),
        ["api", "tcp", "middlewares", name] => one(tcp_view::middlewares(view), name),
        ["api", "plugins"] => json(&plugins::list(view)),
        ["api", "plugins", name] => one(plugins::list(view), name),
        ["api", "plugins", name, "schema"] => plugins::schema(view, name),
        ["api", "policies", name] => plugins::policy(view, name),
        ["api", "discovery"] => json(&discovery::show(view)),
        ["api", "explain"] => explain::show(view, query),
        _ => message(StatusCode::NOT_FOUND, "no such path; the API begins at /api/overview"),
    }
}

/// The object of a list with this `name`, percent-encoded or not.
fn one(list: Vec<serde_json::Value>, name: &str) -> Response<Body> {
    let name = answer::decoded(name);
    match list.into_iter().find(|object| object.get("name").is_some_and(|found| *found == *name)) {
        Some(object) => json(&object),
        None => message(StatusCode::NOT_FOUND, &format!("`{name}` not found")),
    }
}
