//! Routes, services and steps with the keys Traefik's API uses, so that scripts written for it work.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_model::StepSpec;

use super::{View, action_view, tcp_view};
use crate::control::provider_names;
use crate::live::{Generation, RouteStatus};

pub(super) fn entrypoints(view: &View) -> Vec<Value> {
    let shown = view.config.entrypoints.iter().map(|entrypoint| {
        json!({
            "name": entrypoint.name,
            "address": entrypoint.address.to_string(),
            "asDefault": entrypoint.as_default,
            "tls": entrypoint.tls.is_some(),
        })
    });
    shown.collect()
}

pub(super) fn routers(view: &View) -> Vec<Value> {
    view.live.load().routes.iter().map(router).collect()
}

fn router(status: &RouteStatus) -> Value {
    let spec = &status.spec;
    let names = |list: &[Arc<str>]| json!(list.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    let mut shown = json!({
        "name": *status.name,
        "provider": provider_of(&status.name),
        "rule": spec.rule.text,
        "priority": spec.priority,
        "service": spec.service,
        "entryPoints": names(&status.entrypoints),
        "using": names(&status.entrypoints),
        "status": if status.route.is_some() { "enabled" } else { "disabled" },
    });
    if let Some(object) = shown.as_object_mut() {
        if !spec.steps.is_empty() {
            object.insert("middlewares".to_owned(), names(&status.steps));
        }
        if spec.transport == sluice_model::Transport::Tls {
            let options = (!spec.tls_options.is_empty()).then(|| json!({ "options": spec.tls_options }));
            object.insert("tls".to_owned(), options.unwrap_or_else(|| json!({})));
        }
        if !status.errors.is_empty() {
            object.insert("error".to_owned(), json!(status.errors));
        }
    }
    shown
}

pub(super) fn middlewares(view: &View) -> Vec<Value> {
    let generation = view.live.load();
    let mut steps: Vec<_> = generation.steps.iter().collect();
    steps.sort_by(|a, b| a.0.cmp(b.0));
    steps.into_iter().map(|(name, step)| middleware(&generation, name, step)).collect()
}

/// One step as in the list; a name that has no step any more is shown alone.
pub(super) fn shown_step(generation: &Generation, name: &str) -> Value {
    let shown = generation.steps.get(name).map(|step| middleware(generation, name, step));
    shown.unwrap_or_else(|| json!({ "name": name }))
}

fn middleware(generation: &Generation, name: &str, step: &StepSpec) -> Value {
    let users = generation.routes.iter().filter(|route| route.steps.iter().any(|used| **used == *name));
    let users: Vec<&str> = users.map(|route| &*route.name).collect();
    let error = generation.policies.get(name).and_then(|status| status.policy.as_ref().err());
    let (kind, settings) = action_view::of(&step.action);
    let mut shown = json!({
        "name": name,
        "provider": provider_of(name),
        "type": kind,
        "status": if error.is_some() { "disabled" } else { "enabled" },
        "usedBy": users,
    });
    if let Some(object) = shown.as_object_mut() {
        object.insert(kind.to_owned(), settings);
        if let Some(error) = error {
            object.insert("error".to_owned(), json!([error]));
        }
    }
    shown
}

pub(super) fn overview(view: &View) -> Value {
    let generation = view.live.load();
    let broken_routes = generation.routes.iter().filter(|status| status.route.is_none()).count();
    let broken_steps = generation.policies.values().filter(|status| status.policy.is_err()).count();
    let count = |total: usize, errors: usize| json!({ "total": total, "warnings": 0, "errors": errors });
    json!({
        "http": {
            "routers": count(generation.routes.len(), broken_routes),
            "services": count(generation.services.len() + generation.broken_services.len(), generation.broken_services.len()),
            "middlewares": count(generation.steps.len(), broken_steps),
        },
        "tcp": tcp_view::overview(&generation.tcp),
        "providers": provider_names(&view.config),
        "generation": generation.id,
    })
}

pub(super) fn raw_data(view: &View) -> Value {
    let by_name = |list: Vec<Value>| -> Map<String, Value> {
        let named = list.into_iter().filter_map(|mut object| {
            let name = object.as_object_mut()?.remove("name")?.as_str()?.to_owned();
            Some((name, object))
        });
        named.collect()
    };
    json!({
        "routers": by_name(routers(view)),
        "services": by_name(super::services::list(view)),
        "middlewares": by_name(middlewares(view)),
        "tcpRouters": by_name(tcp_view::routers(view)),
        "tcpServices": by_name(tcp_view::services(view)),
        "tcpMiddlewares": by_name(tcp_view::middlewares(view)),
    })
}

pub(super) fn provider_of(name: &str) -> &str {
    name.rsplit_once('@').map_or("", |(_, provider)| provider)
}
