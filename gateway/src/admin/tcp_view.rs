//! TCP routes, services and steps with the keys Traefik's API uses.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_model::tcp::{ProxyProtocol, TcpAction, TcpStepSpec, TcpTls};

use super::View;
use super::http_view::provider_of;
use crate::live::{Tcp, TcpRouteStatus, TcpService};

pub(super) fn routers(view: &View) -> Vec<Value> {
    view.live.load().tcp.routes.iter().map(router).collect()
}

fn router(status: &TcpRouteStatus) -> Value {
    let spec = &status.spec;
    let names = |list: &[Arc<str>]| json!(list.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| drop(shown.insert(key.to_owned(), value));
    put("name", json!(*status.name));
    put("provider", json!(provider_of(&status.name)));
    put("rule", json!(spec.rule.text));
    put("priority", json!(spec.priority));
    put("service", json!(spec.service));
    put("entryPoints", names(&status.entrypoints));
    put("using", names(&status.entrypoints));
    put("status", json!(if status.route.is_some() { "enabled" } else { "disabled" }));
    if !status.steps.is_empty() {
        put("middlewares", names(&status.steps));
    }
    match spec.tls {
        TcpTls::None => {}
        TcpTls::Passthrough => put("tls", json!({ "passthrough": true })),
        TcpTls::Terminate if spec.tls_options.is_empty() => put("tls", json!({ "passthrough": false })),
        TcpTls::Terminate => put("tls", json!({ "passthrough": false, "options": spec.tls_options })),
    }
    if !status.errors.is_empty() {
        put("error", json!(status.errors));
    }
    shown.into()
}

pub(super) fn services(view: &View) -> Vec<Value> {
    let generation = view.live.load();
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for route in generation.tcp.routes.iter().filter_map(|status| status.route.as_ref()) {
        users.entry(&route.service.name).or_default().push(&route.name);
    }
    let mut services: Vec<_> = generation.tcp.services.values().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let used_by = |service: &TcpService| users.get(&*service.name).map_or(&[][..], Vec::as_slice);
    services.into_iter().map(|shown| service(shown, used_by(shown))).collect()
}

fn service(service: &TcpService, users: &[&str]) -> Value {
    let servers = service
        .spec
        .targets
        .iter()
        .map(|target| json!({ "address": target.authority(), "tls": target.tls, "weight": target.weight }));
    let mut balancer = json!({ "servers": servers.collect::<Vec<_>>() });
    let version = match service.spec.proxy_protocol {
        ProxyProtocol::None => None,
        ProxyProtocol::V1 => Some(1),
        ProxyProtocol::V2 => Some(2),
    };
    if let (Some(object), Some(version)) = (balancer.as_object_mut(), version) {
        object.insert("proxyProtocol".to_owned(), json!({ "version": version }));
    }
    if let (Some(object), Some(transport)) = (balancer.as_object_mut(), &service.spec.transport) {
        object.insert("serversTransport".to_owned(), json!(transport));
    }
    let targets = service.spec.targets.iter().enumerate();
    let status: Map<String, Value> = targets
        .map(|(at, target)| (target.authority(), json!(if service.is_up(at) { "UP" } else { "DOWN" })))
        .collect();
    json!({
        "name": *service.name,
        "provider": provider_of(&service.name),
        "type": "loadbalancer",
        "status": "enabled",
        "loadBalancer": balancer,
        "serverStatus": status,
        "usedBy": users,
    })
}

pub(super) fn middlewares(view: &View) -> Vec<Value> {
    let generation = view.live.load();
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for route in &generation.tcp.routes {
        for step in &route.steps {
            let users = users.entry(step).or_default();
            if users.last() != Some(&&*route.name) {
                users.push(&route.name);
            }
        }
    }
    let mut steps: Vec<_> = generation.tcp.steps.iter().collect();
    steps.sort_by(|a, b| a.0.cmp(b.0));
    let used_by = |name: &str| users.get(name).map_or(&[][..], Vec::as_slice);
    steps.into_iter().map(|(name, step)| middleware(name, step, used_by(name))).collect()
}

fn middleware(name: &str, step: &TcpStepSpec, users: &[&str]) -> Value {
    let (kind, key, settings) = match &step.action {
        TcpAction::InFlight(amount) => ("inflightconn", "inFlightConn", json!({ "amount": amount })),
        TcpAction::AllowList(ranges) => ("ipallowlist", "ipAllowList", json!({ "sourceRange": ranges })),
    };
    json!({
        "name": name,
        "provider": provider_of(name),
        "type": kind,
        "status": "enabled",
        "usedBy": users,
        key: settings,
    })
}

/// How many there are, and how many of them do not work.
pub(super) fn overview(tcp: &Tcp) -> Value {
    let broken = tcp.routes.iter().filter(|status| status.route.is_none()).count();
    let warned = tcp.routes.iter().filter(|status| status.route.is_some() && !status.warnings.is_empty()).count();
    let count = |total: usize, warnings: usize, errors: usize| json!({ "total": total, "warnings": warnings, "errors": errors });
    json!({
        "routers": count(tcp.routes.len(), warned, broken),
        "services": count(tcp.services.len(), 0, 0),
        "middlewares": count(tcp.steps.len(), 0, 0),
    })
}
