//! Linking: from the contributions of all services to one set of routes, services and steps with qualified names.
//!
//! Names are local to a provider and become `name@provider`. Definitions that contradict each other are settled, never
//! dropped together: the one with the most targets behind it stays, ties go to the service whose name comes first. A
//! reference to something that does not exist disables the route that makes it and nothing else.
//!
//! A [`Linker`] links anew only what a change touches and says what that was; what it comes to is the same whatever the
//! order of the changes.

mod book;
mod linker;
mod search;
mod services;
mod tcp;
mod users;

pub use linker::{Linker, Touched};
pub use search::steps_of;
pub use services::LinkedService;
pub use tcp::{LinkedTcp, LinkedTcpRoute};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
    /// Routes by qualified name, those that cannot work included.
    pub routes: HashMap<Arc<str>, LinkedRoute>,
    /// Services by qualified name.
    pub services: HashMap<Arc<str>, LinkedService>,
    /// Steps by qualified name.
    pub steps: HashMap<Arc<str>, Item<StepSpec>>,
    /// Whole connections.
    pub tcp: LinkedTcp,
    /// What was left out or repaired, by what it is about.
    pub problems: BTreeMap<Subject, Vec<LinkProblem>>,
}

/// A route with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What problems are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The tags of a catalog service: the provider and the service.
    Tags(Arc<str>, Arc<str>),
    /// Definitions of a step.
    Step(Arc<str>),
    /// Definitions of a service.
    Service(Arc<str>),
    /// What a service is put together from.
    Parts(Arc<str>),
    /// Definitions of a route.
    Route(Arc<str>),
    /// Whole connections.
    Tcp,
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
        self.about(Diagnostic { severity, object, tag: String::new(), message })
    }

    fn about(&self, diagnostic: Diagnostic) -> LinkProblem {
        LinkProblem { provider: Arc::clone(&self.provider), origin: Arc::clone(&self.origin), diagnostic }
    }
}

fn qualify<T>(provider: &str, specs: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<Item<T>> {
    specs
        .into_iter()
        .map(|spec| Item { name: format!("{}@{provider}", name(&spec)).into(), spec: Arc::new(spec) })
        .collect()
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
