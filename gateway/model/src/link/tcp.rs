//! Linking of TCP routes, by the same rules as of routes; their names live beside those of HTTP. There are few of them:
//! when one changes all are linked anew.

use std::collections::HashMap;
use std::sync::Arc;

use super::book::{Book, Claim};
use super::search::find_in;
use super::{Declared, Item, LinkProblem};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Everything of TCP, as declared.
#[derive(Debug)]
pub(super) struct TcpBooks {
    routes: Book<TcpRouteSpec>,
    services: Book<TcpServiceSpec>,
    steps: Book<TcpStepSpec>,
}

impl Default for TcpBooks {
    fn default() -> Self {
        Self {
            routes: Book::new("tcp route", |_, _| None),
            services: Book::new("tcp service", join),
            steps: Book::new("tcp step", |_, _| None),
        }
    }
}

impl TcpBooks {
    pub(super) fn add(&mut self, declared: &Arc<Declared>) {
        self.routes.add(&declared.tcp_routes, declared);
        self.services.add(&declared.tcp_services, declared);
        self.steps.add(&declared.tcp_steps, declared);
    }

    pub(super) fn remove(&mut self, declared: &Arc<Declared>) {
        self.routes.remove(&declared.tcp_routes, declared);
        self.services.remove(&declared.tcp_services, declared);
        self.steps.remove(&declared.tcp_steps, declared);
    }

    /// Whether there is something to link.
    pub(super) fn is_open(&self) -> bool {
        !(self.routes.open.is_empty() && self.services.open.is_empty() && self.steps.open.is_empty())
    }

    pub(super) fn link(&mut self) -> (LinkedTcp, Vec<LinkProblem>) {
        let mut problems = Vec::new();
        let services = settle(&mut self.services, &mut problems).into_iter().map(named).collect();
        let steps = settle(&mut self.steps, &mut problems).into_iter().map(named).collect();
        let mut linked = LinkedTcp { routes: Vec::new(), services, steps };
        let mut routes = settle(&mut self.routes, &mut problems);
        routes.sort_unstable_by(|a, b| a.item.name.cmp(&b.item.name));
        linked.routes = routes.into_iter().map(|claim| resolve(&linked, claim)).collect();
        (linked, problems)
    }
}

fn settle<T: PartialEq>(book: &mut Book<T>, problems: &mut Vec<LinkProblem>) -> Vec<Claim<T>> {
    book.open.clear();
    let settled = book.names().filter_map(|name| book.settle(name)).map(|(claim, found)| {
        problems.extend(found);
        claim
    });
    settled.collect()
}

fn named<T>(claim: Claim<T>) -> (Arc<str>, Item<T>) {
    (Arc::clone(&claim.item.name), claim.item)
}

/// Services that differ in nothing but their targets are one service.
fn join(kept: &TcpServiceSpec, other: &TcpServiceSpec) -> Option<TcpServiceSpec> {
    let targets = kept.targets.clone();
    if *kept != (TcpServiceSpec { targets, ..other.clone() }) {
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

fn resolve(linked: &LinkedTcp, Claim { item: route, owner }: Claim<TcpRouteSpec>) -> LinkedTcpRoute {
    let provider = &owner.provider;
    let mut errors = Vec::new();
    let service = find_in(&linked.services, provider, &route.spec.service);
    if service.is_none() {
        errors.push(format!("tcp service `{}` does not exist", route.spec.service));
    }
    let mut steps = Vec::new();
    for name in &route.spec.steps {
        match find_in(&linked.steps, provider, name) {
            Some(full) => steps.push(full),
            None => errors.push(format!("tcp step `{name}` does not exist")),
        }
    }
    let origin = Arc::clone(&owner.origin);
    LinkedTcpRoute { name: route.name, spec: route.spec, origin, service, steps, errors }
}
