//! Is it alive, is it ready, what runs, and the metrics.

use std::sync::LazyLock;
use std::time::SystemTime;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::View;
use super::answer::{self, Body, timestamp, with_status};
use crate::control::provider_names;
use crate::listener::Phase;

static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// From now on the process counts as started.
pub(super) fn note_start() {
    LazyLock::force(&STARTED);
}

/// The process answers. Says nothing of providers, plugins or instances.
pub(super) fn ping() -> Response<Body> {
    answer::text("text/plain; charset=utf-8", "OK".to_owned())
}

/// Requests are served as configured, and the gateway is not going away.
pub(super) fn ready(view: &View) -> Response<Body> {
    let status = view.tracker.status();
    let mut reasons = Vec::new();
    if *view.phase.borrow() != Phase::Serving {
        reasons.push("draining".to_owned());
    }
    if view.live.load().id == 0 {
        reasons.push("no generation has been published yet".to_owned());
    }
    if !status.ready {
        let waiting = provider_names(&view.config)
            .into_iter()
            .filter(|name| status.providers.get(*name).is_none_or(|provider| provider.last_contact.is_none()));
        reasons.extend(waiting.map(|name| format!("provider `{name}` has not said anything yet")));
    }
    let ready = reasons.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    with_status(code, &json!({ "ready": ready, "reasons": reasons }))
}

pub(super) fn metrics(view: &View) -> Response<Body> {
    answer::text(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        view.telemetry.render(super::metrics::families(view)),
    )
}

/// Traefik's keys, and ours.
pub(super) fn version() -> Response<Body> {
    answer::json(&json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Codename": "sluice",
        "startDate": timestamp(*STARTED),
    }))
}

/// What is in force and where it came from.
pub(super) fn generation(view: &View) -> Response<Body> {
    let generation = view.live.load();
    let refused = view.tracker.status().last_refused;
    let refused = refused.map_or(Value::Null, |(at, reason)| json!({ "at": timestamp(at), "reason": reason }));
    answer::json(&json!({
        "id": generation.id,
        "publishedAt": timestamp(generation.published),
        "cause": generation.cause,
        "routes": generation.routes.len(),
        "services": generation.services.len(),
        "lastRefused": refused,
    }))
}
