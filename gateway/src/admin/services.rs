//! Services with the keys Traefik's API uses, and how their instances are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_model::service::Strategy;

use super::View;
use super::http_view::provider_of;
use crate::live::{Balancer, Endpoint, Generation, Kind, RouteStatus, Service};

pub(super) fn list(view: &View) -> Vec<Value> {
    let generation = view.live.load();
    let users = users(&generation);
    let mut services: BTreeMap<&str, Value> =
        generation.services.iter().map(|(name, shown)| (&**name, service(shown))).collect();
    services.extend(generation.broken_services.iter().map(|(name, error)| (&**name, broken(name, error))));
    let shown = services.into_iter().map(|(name, mut shown)| {
        if let Some(object) = shown.as_object_mut() {
            object.insert("usedBy".to_owned(), json!(users.get(name).map_or(&[][..], Vec::as_slice)));
        }
        shown
    });
    shown.collect()
}

fn broken(name: &str, error: &str) -> Value {
    json!({ "name": name, "provider": provider_of(name), "status": "disabled", "error": [error] })
}

/// One service as in the list, without its users.
pub(super) fn service(service: &Service) -> Value {
    let (kind, key, details) = kind(service);
    let strategy = service.spec.balancer().map(|spec| strategy_name(spec.strategy));
    let mut shown = json!({
        "name": *service.name,
        "provider": provider_of(&service.name),
        "type": kind,
        "status": "enabled",
        key: details,
    });
    if let Some(object) = shown.as_object_mut() {
        if let Some(balancer) = service.balancer() {
            object.insert("serverStatus".to_owned(), Value::Object(server_status(balancer)));
            object.insert("servers".to_owned(), servers(balancer));
            object.insert("strategy".to_owned(), json!(strategy));
        }
        if !service.spec.steps.is_empty() {
            object.insert("middlewares".to_owned(), json!(service.spec.steps));
        }
    }
    shown
}

fn kind(service: &Service) -> (&'static str, &'static str, Value) {
    match &service.kind {
        Kind::Balancer(balancer) => ("loadbalancer", "loadBalancer", load_balancer(balancer)),
        Kind::Weighted(weighted) => {
            let parts = weighted.parts.iter();
            let parts =
                parts.map(|part| json!({ "name": part.name, "weight": part.weight, "up": part.service.is_up() }));
            let hashed = weighted.split == sluice_model::service::Split::Hashed;
            let (kind, key) =
                if hashed { ("highestrandomweight", "highestRandomWeight") } else { ("weighted", "weighted") };
            (kind, key, json!({ "services": parts.collect::<Vec<_>>() }))
        }
        Kind::Mirroring(mirroring) => {
            let mirrors = mirroring.mirrors.iter();
            let mirrors = mirrors.map(|mirror| json!({ "name": *mirror.service.name, "percent": mirror.percent }));
            let mirrors: Vec<_> = mirrors.collect();
            let shown = json!({ "service": *mirroring.main.name, "mirrors": mirrors, "mirrorBody": mirroring.body });
            ("mirroring", "mirroring", shown)
        }
        Kind::Failover(failover) => {
            let fallback = failover.fallback.as_ref().map(|fallback| fallback.name.to_string());
            let main_up = failover.main.is_up();
            let shown = json!({ "service": *failover.main.name, "fallback": fallback, "up": main_up });
            ("failover", "failover", shown)
        }
    }
}

fn load_balancer(balancer: &Balancer) -> Value {
    let servers = balancer.endpoints.iter().map(|endpoint| json!({ "url": endpoint.url, "weight": endpoint.weight }));
    let mut shown = json!({
        "servers": servers.collect::<Vec<_>>(),
        "passHostHeader": balancer.pass_host_header,
    });
    if let Some(object) = shown.as_object_mut() {
        if let Some(sticky) = &balancer.sticky {
            object.insert("sticky".to_owned(), json!({ "cookie": { "name": sticky.name } }));
        }
        if balancer.panics() {
            object.insert("panic".to_owned(), true.into());
        }
    }
    shown
}

/// The names strategies have in tags.
fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::RoundRobin => "wrr",
        Strategy::Rebalancing => "drr",
        Strategy::TwoChoices => "p2c",
        Strategy::Rendezvous => "hrw",
        Strategy::LeastTime => "leasttime",
        Strategy::PeakEwma => "peakewma",
        Strategy::Maglev => "maglev",
    }
}

fn server_status(balancer: &Balancer) -> Map<String, Value> {
    let status = |endpoint: &Endpoint| if balancer.is_well(endpoint) { "UP" } else { "DOWN" };
    balancer.endpoints.iter().map(|endpoint| (endpoint.url.clone(), json!(status(endpoint)))).collect()
}

/// What Traefik's API does not say: why an instance is as it is.
fn servers(balancer: &Balancer) -> Value {
    let server = |endpoint: &Endpoint| {
        let mut shown = json!({
            "url": endpoint.url,
            "inFlight": endpoint.instance.in_flight(),
            "failures": endpoint.instance.failures(),
            "ejected": endpoint.state.was_taken_out() && !balancer.is_well(endpoint),
        });
        if let Some(object) = shown.as_object_mut() {
            if let Some(error) = endpoint.instance.last_error() {
                object.insert("lastError".to_owned(), error.message.as_str().into());
            }
            if let Some(check) = &endpoint.check {
                let (passes, failures) = check.counts();
                let error = check.last_error().map(|error| error.message.clone());
                let check = json!({ "up": check.is_up(), "passes": passes, "failures": failures, "lastError": error });
                object.insert("healthCheck".to_owned(), check);
            }
        }
        shown
    };
    balancer.endpoints.iter().map(server).collect()
}

/// Which routes use a service, through other services as well.
fn users(generation: &Generation) -> BTreeMap<&str, Vec<&str>> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, status) in generation.routes.sorted() {
        let mut open: Vec<_> =
            status.route.as_ref().map(|route| &route.service).or(asked(generation, status)).into_iter().collect();
        while let Some(service) = open.pop() {
            let users = users.entry(&service.name).or_default();
            if users.last() != Some(&&*status.name) {
                users.push(&status.name);
            }
            open.extend(service.parts());
        }
    }
    users
}

/// The service a route that does not work asks for.
fn asked<'a>(generation: &'a Generation, status: &RouteStatus) -> Option<&'a Arc<Service>> {
    let name = &status.spec.service;
    if name.contains('@') {
        return generation.services.get(name.as_str());
    }
    generation.services.get(format!("{name}@{}", provider_of(&status.name)).as_str())
}
