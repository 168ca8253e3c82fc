//! Linking: from the contributions of all services to one set of routes, services and steps with qualified names.
//!
//! Names are local to a provider and become `name@provider`. Definitions that contradict each other are settled, never
//! dropped together: the one with the most targets behind it stays, ties go to the service whose name comes first. A
//! reference to something that does not exist disables the route that makes it and nothing else.

mod services;
mod tcp;

pub use services::LinkedService;
pub use tcp::{LinkedTcp, LinkedTcpRoute};

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::Action;
use crate::contribution::{Contribution, Diagnostic, RouteSpec, Severity, StepSpec};
use crate::service::ServiceSpec;
use crate::tcp::{TcpRouteSpec, TcpServiceSpec, TcpStepSpec};

/// The provider under which policies from the configuration file are known; references find them without a suffix.
pub const CONFIG_PROVIDER: &str = "config";

/// The contribution of one catalog service, its names qualified once so that linking again costs little.
#[derive(Debug)]
pub struct Declared {
    /// The provider's name, such as `consulcatalog`.
    pub provider: Arc<str>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Routes, by qualified name.
    pub routes: Vec<Item<RouteSpec>>,
    /// Services, by qualified name.
    pub services: Vec<Item<ServiceSpec>>,
    /// Steps, by qualified name.
    pub steps: Vec<Item<StepSpec>>,
    /// TCP routes, by qualified name.
    pub tcp_routes: Vec<Item<TcpRouteSpec>>,
    /// TCP services, by qualified name.
    pub tcp_services: Vec<Item<TcpServiceSpec>>,
    /// TCP steps, by qualified name.
    pub tcp_steps: Vec<Item<TcpStepSpec>>,
    /// What the router plugin refused or repaired.
    pub diagnostics: Vec<Diagnostic>,
    targets: usize,
}

/// A declared object and its qualified name. Cheap to clone; equal pointers mean nothing changed.
#[derive(Debug)]
pub struct Item<T> {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<T>,
}

/// Everything linked.
#[derive(Debug, Default)]
pub struct Linked {
    /// Routes ordered by name, those that cannot work included.
    pub routes: Vec<LinkedRoute>,
    /// Services by qualified name.
    pub services: HashMap<Arc<str>, LinkedService>,
    /// Steps by qualified name.
    pub steps: HashMap<Arc<str>, Item<StepSpec>>,
    /// Whole connections.
    pub tcp: LinkedTcp,
    /// Conflicts.
    pub problems: Vec<LinkProblem>,
}

/// A route with what it refers to.
#[derive(Clone, Debug)]
pub struct LinkedRoute {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<RouteSpec>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Qualified name of its service, where that exists.
    pub service: Option<Arc<str>>,
    /// Qualified names of its steps with chains unrolled.
    pub steps: Vec<Arc<str>>,
    /// Those of its service, which come after them.
    pub service_steps: Vec<Arc<str>>,
    /// Why it cannot work; empty for routes that do.
    pub errors: Vec<String>,
}

/// Something that was left out, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProblem {
    /// The provider.
    pub provider: Arc<str>,
    /// The catalog service.
    pub origin: Arc<str>,
    /// What and why.
    pub diagnostic: Diagnostic,
}

impl<T> Clone for Item<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), spec: Arc::clone(&self.spec) }
    }
}

impl Declared {
    /// Qualifies the names of a contribution.
    #[must_use]
    pub fn new(provider: &Arc<str>, origin: &str, contribution: Contribution) -> Self {
        let targets = contribution.services.iter().map(|service| service.targets().len()).sum::<usize>()
            + contribution.tcp_services.iter().map(|service| service.targets.len()).sum::<usize>();
        Self {
            provider: Arc::clone(provider),
            origin: origin.into(),
            routes: qualify(provider, contribution.routes, |route| &route.name),
            services: qualify(provider, contribution.services, |service| &service.name),
            steps: qualify(provider, contribution.steps, |step| &step.name),
            tcp_routes: qualify(provider, contribution.tcp_routes, |route| &route.name),
            tcp_services: qualify(provider, contribution.tcp_services, |service| &service.name),
            tcp_steps: qualify(provider, contribution.tcp_steps, |step| &step.name),
            diagnostics: contribution.diagnostics,
            targets,
        }
    }

    fn problem(&self, severity: Severity, object: String, message: String) -> LinkProblem {
        LinkProblem {
            provider: Arc::clone(&self.provider),
            origin: Arc::clone(&self.origin),
            diagnostic: Diagnostic { severity, object, tag: String::new(), message },
        }
    }
}

fn qualify<T>(provider: &str, specs: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<Item<T>> {
    specs
        .into_iter()
        .map(|spec| Item { name: format!("{}@{provider}", name(&spec)).into(), spec: Arc::new(spec) })
        .collect()
}

/// Links contributions, given in any order; the outcome does not depend on it.
#[must_use]
pub fn link(contributions: &[Arc<Declared>]) -> Linked {
    let mut ordered: Vec<&Declared> = contributions.iter().map(AsRef::as_ref).collect();
    ordered.sort_by(|a, b| {
        b.targets.cmp(&a.targets).then_with(|| (&a.provider, &a.origin).cmp(&(&b.provider, &b.origin)))
    });
    let mut problems = Vec::new();
    let steps = settle(&ordered, "step", |declared| &declared.steps, &mut problems, |_, _| None);
    let services = settle(&ordered, "service", |declared| &declared.services, &mut problems, services::join);
    let routes = settle(&ordered, "route", |declared| &declared.routes, &mut problems, |_, _| None);
    let tcp = tcp::link(&ordered, &mut problems);
    let steps = strip_owner(steps);
    let services = services::resolve(&services, &steps, &mut problems);
    let mut linked = Linked { routes: Vec::with_capacity(routes.len()), services, steps, tcp, problems };
    let mut routes: Vec<_> = routes.into_values().collect();
    routes.sort_unstable_by(|a, b| a.0.name.cmp(&b.0.name));
    for (route, owner) in routes {
        let resolved = resolve_route(&linked, owner, &route);
        linked.routes.push(resolved);
    }
    linked
}

type Settled<'a, T> = HashMap<Arc<str>, (Item<T>, &'a Declared)>;

fn strip_owner<T>(settled: Settled<'_, T>) -> HashMap<Arc<str>, Item<T>> {
    settled.into_iter().map(|(name, (item, _))| (name, item)).collect()
}

/// One definition for each name: the first in order, joined with later ones where `join` can.
fn settle<'a, T: PartialEq + 'a>(
    ordered: &[&'a Declared],
    kind: &str,
    items: impl Fn(&'a Declared) -> &'a Vec<Item<T>>,
    problems: &mut Vec<LinkProblem>,
    join: impl Fn(&T, &T) -> Option<T>,
) -> Settled<'a, T> {
    let mut settled: Settled<'a, T> = HashMap::with_capacity(ordered.len());
    for declared in ordered {
        for item in items(declared) {
            let Some((kept, owner)) = settled.get_mut(&item.name) else {
                settled.insert(Arc::clone(&item.name), (item.clone(), declared));
                continue;
            };
            if kept.spec == item.spec {
                continue;
            }
            if let Some(joined) = join(&kept.spec, &item.spec) {
                kept.spec = Arc::new(joined);
                continue;
            }
            let message = format!(
                "defined differently by service `{}`, which has more instances or comes first; that definition is used. \
                 Give one of them another name",
                owner.origin
            );
            problems.push(declared.problem(Severity::Error, format!("{kind} {}", item.name), message));
        }
    }
    settled
}

fn resolve_route(linked: &Linked, owner: &Declared, route: &Item<RouteSpec>) -> LinkedRoute {
    let provider = &owner.provider;
    let mut errors = Vec::new();
    let service = find(&linked.services, provider, &route.spec.service);
    let found = service.as_ref().and_then(|name| linked.services.get(name));
    let service_steps = found.map_or_else(Vec::new, |service| service.steps.clone());
    match found {
        None => errors.push(format!("service `{}` does not exist", route.spec.service)),
        Some(service) => {
            errors.extend(service.errors.iter().map(|error| format!("service `{}`: {error}", service.name)))
        }
    }
    let mut steps = Vec::new();
    let mut open = Vec::new();
    for name in &route.spec.steps {
        unroll(&linked.steps, provider, name, &mut open, &mut steps, &mut errors);
    }
    let (name, spec, origin) = (Arc::clone(&route.name), Arc::clone(&route.spec), Arc::clone(&owner.origin));
    LinkedRoute { name, spec, origin, service, steps, service_steps, errors }
}

/// The qualified names of a step with chains unrolled, for who names it from outside of every provider.
///
/// # Errors
/// It does not exist, or a chain has a part that does not.
pub fn steps_of(linked: &Linked, name: &str) -> Result<Vec<Arc<str>>, String> {
    let (mut steps, mut errors) = (Vec::new(), Vec::new());
    unroll(&linked.steps, CONFIG_PROVIDER, name, &mut Vec::new(), &mut steps, &mut errors);
    if errors.is_empty() { Ok(steps) } else { Err(errors.join("; ")) }
}

/// Appends a step, or the steps of a chain. `open` are the chains being unrolled.
fn unroll(
    known: &HashMap<Arc<str>, Item<StepSpec>>,
    provider: &str,
    name: &str,
    open: &mut Vec<Arc<str>>,
    steps: &mut Vec<Arc<str>>,
    errors: &mut Vec<String>,
) {
    let Some(full) = find(known, provider, name) else {
        errors.push(format!("step `{name}` does not exist"));
        return;
    };
    if open.contains(&full) {
        errors.push(format!("chain `{full}` contains itself"));
        return;
    }
    match known.get(&full).map(|step| &step.spec.action) {
        Some(Action::Chain(parts)) => {
            let home = full.rsplit_once('@').map_or(provider, |(_, home)| home).to_owned();
            open.push(full);
            for part in parts {
                unroll(known, &home, part, open, steps, errors);
            }
            open.pop();
        }
        _ => steps.push(full),
    }
}

/// `name@provider` as written; without a provider first the referring one's, then the configuration's.
fn find<T>(map: &HashMap<Arc<str>, T>, provider: &str, name: &str) -> Option<Arc<str>> {
    let key = |full: &str| map.get_key_value(full).map(|(key, _)| Arc::clone(key));
    if name.contains('@') {
        return key(name);
    }
    key(&format!("{name}@{provider}")).or_else(|| key(&format!("{name}@{CONFIG_PROVIDER}")))
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
