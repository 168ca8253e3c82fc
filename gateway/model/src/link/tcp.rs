//! Linking of TCP routes, by the same rules as of routes; their names live beside those of HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Declared, Item, LinkProblem, find, settle, strip_owner};
use crate::tcp::{TcpRouteSpec, TcpServiceSpec, TcpStepSpec};

/// Everything of TCP, linked.
#[derive(Debug, Default)]
pub struct LinkedTcp {
    /// Routes ordered by name, those that cannot work included.
    pub routes: Vec<LinkedTcpRoute>,
    /// Services by qualified name.
    pub services: HashMap<Arc<str>, Item<TcpServiceSpec>>,
    /// Steps by qualified name.
    pub steps: HashMap<Arc<str>, Item<TcpStepSpec>>,
}

/// A TCP route with what it refers to.
#[derive(Clone, Debug)]
pub struct LinkedTcpRoute {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<TcpRouteSpec>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Qualified name of its service, where that exists.
    pub service: Option<Arc<str>>,
    /// Qualified names of its steps.
    pub steps: Vec<Arc<str>>,
    /// Why it cannot work; empty for routes that do.
    pub errors: Vec<String>,
}

pub(super) fn link(ordered: &[&Declared], problems: &mut Vec<LinkProblem>) -> LinkedTcp {
    let services = settle(ordered, "tcp service", |declared| &declared.tcp_services, problems, join);
    let steps = settle(ordered, "tcp step", |declared| &declared.tcp_steps, problems, |_, _| None);
    let routes = settle(ordered, "tcp route", |declared| &declared.tcp_routes, problems, |_, _| None);
    let mut linked = LinkedTcp { routes: Vec::new(), services: strip_owner(services), steps: strip_owner(steps) };
    let mut routes: Vec<_> = routes.into_values().collect();
    routes.sort_unstable_by(|a, b| a.0.name.cmp(&b.0.name));
    let resolved = routes.into_iter().map(|(route, owner)| resolve(&linked, owner, route)).collect();
    linked.routes = resolved;
    linked
}

/// Services that differ in nothing but their targets are one service.
fn join(kept: &TcpServiceSpec, other: &TcpServiceSpec) -> Option<TcpServiceSpec> {
    if kept.proxy_protocol != other.proxy_protocol || kept.health_check != other.health_check {
        return None;
    }
    let mut joined = kept.clone();
    for target in &other.targets {
        if !joined.targets.iter().any(|known| known.authority() == target.authority()) {
            joined.targets.push(target.clone());
        }
    }
    Some(joined)
}

fn resolve(linked: &LinkedTcp, owner: &Declared, route: Item<TcpRouteSpec>) -> LinkedTcpRoute {
    let provider = &owner.provider;
    let mut errors = Vec::new();
    let service = find(&linked.services, provider, &route.spec.service);
    if service.is_none() {
        errors.push(format!("tcp service `{}` does not exist", route.spec.service));
    }
    let mut steps = Vec::new();
    for name in &route.spec.steps {
        match find(&linked.steps, provider, name) {
            Some(full) => steps.push(full),
            None => errors.push(format!("tcp step `{name}` does not exist")),
        }
    }
    let origin = Arc::clone(&owner.origin);
    LinkedTcpRoute { name: route.name, spec: route.spec, origin, service, steps, errors }
}
