//! Routes, services and steps with the keys Traefik's API uses, so that scripts written for it work.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_model::StepSpec;
use sluice_model::link::CONFIG_PROVIDER;

use super::{View, action_view, tcp_view};
use crate::config::{Attachment, Entrypoint};
use crate::control::provider_names;
use crate::live::{Generation, RouteStatus};

pub(super) fn entrypoints(view: &View) -> Vec<Value> {
    view.config.entrypoints.iter().map(|entrypoint| self::entrypoint(view, entrypoint)).collect()
}

fn entrypoint(view: &View, entrypoint: &Entrypoint) -> Value {
    let texts = |networks: &[_]| networks.iter().map(|network: &ipnet::IpNet| network.to_string()).collect::<Vec<_>>();
    let redirect = entrypoint.redirect.as_ref().map(|redirect| {
        json!({ "entryPoint": { "to": redirect.to, "scheme": redirect.scheme, "permanent": redirect.permanent } })
    });
    let names = view.config.policies.iter().filter_map(|policy| {
        let attached = policy.attach.contains(&Attachment::Entrypoint(entrypoint.name.clone()));
        attached.then(|| format!("{}@{CONFIG_PROVIDER}", policy.name))
    });
    let mut http = json!({
        "maxHeaderBytes": entrypoint.limits.header_bytes,
        "middlewares": names.chain(entrypoint.steps.iter().cloned()).collect::<Vec<_>>(),
    });
    if let Some(object) = http.as_object_mut() {
        object.extend(entrypoint.tls.is_some().then(|| ("tls".to_owned(), json!({}))));
        object.extend(redirect.map(|redirect| ("redirections".to_owned(), redirect)));
    }
    let mut shown = json!({
        "name": entrypoint.name,
        "address": entrypoint.address.to_string(),
        "asDefault": entrypoint.as_default,
        "tls": entrypoint.tls.is_some(),
        "http": http,
        "http2": { "maxConcurrentStreams": entrypoint.limits.h2_streams },
        "forwardedHeaders": { "trustedIPs": texts(&entrypoint.trusted_ips) },
        "observability": {
            "accessLogs": entrypoint.observability.access_logs,
            "metrics": entrypoint.observability.metrics,
            "tracing": false,
        },
    });
    if let (Some(object), Some(proxies)) = (shown.as_object_mut(), &entrypoint.proxy_protocol) {
        object.insert("proxyProtocol".to_owned(), json!({ "trustedIPs": texts(&proxies.trusted_ips) }));
    }
    shown
}

pub(super) fn routers(view: &View) -> Vec<Value> {
    view.live.load().routes.sorted().into_iter().map(|(_, status)| router(status)).collect()
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
        let noted = [("accessLogs", spec.observability.access_log), ("metrics", spec.observability.metrics)];
        let noted: Map<String, Value> =
            noted.into_iter().filter_map(|(name, noted)| Some((name.to_owned(), noted?.into()))).collect();
        if !noted.is_empty() {
            object.insert("observability".to_owned(), noted.into());
        }
        if !status.errors.is_empty() {
            object.insert("error".to_owned(), json!(status.errors));
        }
    }
    shown
}

pub(super) fn middlewares(view: &View) -> Vec<Value> {
    let generation = view.live.load();
    let users = users(&generation);
    let used_by = |name: &str| users.get(name).map_or(&[][..], Vec::as_slice);
    let steps = generation.steps.sorted().into_iter();
    steps.map(|(name, step)| middleware(&generation, name, step, used_by(name))).collect()
}

/// Which routes use each step, from one pass over all routes.
fn users(generation: &Generation) -> HashMap<&str, Vec<&str>> {
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, status) in generation.routes.sorted() {
        for step in &status.steps {
            let users = users.entry(step).or_default();
            // It may use a step twice.
            if users.last() != Some(&&**name) {
                users.push(name);
            }
        }
    }
    users
}

/// One step as in the list; a name that has no step any more is shown alone.
pub(super) fn shown_step(generation: &Generation, name: &str) -> Value {
    let Some(step) = generation.steps.get(name) else { return json!({ "name": name }) };
    let users = generation.routes.values().filter(|route| route.steps.iter().any(|used| **used == *name));
    let mut users: Vec<&str> = users.map(|route| &*route.name).collect();
    users.sort_unstable();
    middleware(generation, name, step, &users)
}

fn middleware(generation: &Generation, name: &str, step: &StepSpec, users: &[&str]) -> Value {
    let error = generation.policies.get(name).and_then(|status| status.policy.as_ref().err());
    let error = error.or_else(|| generation.broken_steps.get(name));
    let (kind, settings) = action_view::of(&step.action);
    let mut shown = json!({
        "name": name,
        "provider": provider_of(name),
        "type": kind.to_lowercase(),
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
    let broken_routes = generation.routes.values().filter(|status| status.route.is_none()).count();
    let warned =
        generation.routes.values().filter(|status| status.route.is_some() && !status.warnings.is_empty()).count();
    let broken_steps = generation.policies.values().filter(|status| status.policy.is_err()).count();
    let broken_steps = broken_steps + generation.broken_steps.len();
    let broken_services = generation.broken_services.len();
    let count = |total: usize, warnings: usize, errors: usize| json!({ "total": total, "warnings": warnings, "errors": errors });
    json!({
        "http": {
            "routers": count(generation.routes.len(), warned, broken_routes),
            "services": count(generation.services.len() + broken_services, 0, broken_services),
            "middlewares": count(generation.steps.len(), 0, broken_steps),
        },
        "tcp": tcp_view::overview(&generation.tcp),
        "udp": { "routers": count(0, 0, 0), "services": count(0, 0, 0) },
        "features": { "tracing": "", "metrics": "Prometheus", "accessLog": view.config.access_log.is_some() },
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
