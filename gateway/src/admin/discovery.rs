//! Discovery: what each provider says, when it last said it, and which tags were refused and why.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use sluice_model::Severity;

use super::View;
use super::answer::{Body, message, timestamp};
use crate::control::{ProviderStatus, Refusal, Status, provider_names};

pub(super) fn show(view: &View) -> Value {
    let status = view.tracker.status();
    let names = provider_names(&view.config).into_iter().chain([sluice_model::link::CONFIG_PROVIDER]);
    let providers = names.map(|name| {
        let provider = status.providers.get(name).cloned().unwrap_or_default();
        (name.to_owned(), show_provider(view, name, &provider, &status))
    });
    Value::Object(providers.collect())
}

fn show_provider(view: &View, name: &str, provider: &ProviderStatus, status: &Status) -> Value {
    let refused = status.refusals.get(name).map_or(&[][..], Vec::as_slice);
    let mut shown = json!({
        "index": provider.index,
        "lastContact": provider.last_contact.map(timestamp),
        "lastError": provider.last_error,
        "routerError": status.router_errors.get(name),
        "services": provider.services,
        "refused": refused.iter().map(refusal).collect::<Vec<_>>(),
    });
    if name == "consulcatalog"
        && let Some(consul) = view.tracker.consul()
        && let Some(object) = shown.as_object_mut()
    {
        let consul = consul.status();
        let held = consul.held_removals.iter().map(|held| {
            json!({ "service": held.service, "instance": held.instance, "since": timestamp(held.since), "reason": held.reason.to_string() })
        });
        object.insert("reachable".to_owned(), json!(consul.reachable));
        object.insert("knownLeader".to_owned(), json!(consul.known_leader));
        object.insert("watched".to_owned(), json!(consul.watched));
        object.insert("heldRemovals".to_owned(), held.collect());
    }
    shown
}

pub(super) fn refusal(refusal: &Refusal) -> Value {
    json!({
        "service": *refusal.service,
        "severity": match refusal.diagnostic.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "object": refusal.diagnostic.object,
        "tag": refusal.diagnostic.tag,
        "reason": refusal.diagnostic.message,
    })
}

/// The operator knows that held removals are real.
pub(super) fn accept(view: &View) -> Response<Body> {
    match view.tracker.consul() {
        Some(consul) => {
            consul.accept();
            message(StatusCode::OK, "held removals are applied")
        }
        None => message(StatusCode::NOT_FOUND, "no provider holds removals back"),
    }
}
