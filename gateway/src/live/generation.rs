//! One immutable, complete state of the gateway.

use std::sync::Arc;
use std::time::SystemTime;

use sluice_model::rule::Rule;
use sluice_model::table::RouteTable;
use sluice_model::{RouteSpec, Shards, StepSpec};

use super::chain::{PolicyUse, Step};
use super::service::Service;
use super::tcp::{Tcp, TcpTables};
use super::tls_hosts::TlsHosts;

/// Everything a request needs, compiled and checked before it was published.
#[derive(Debug)]
pub struct Generation {
    /// Counts up from 1; 0 is the empty one before the first.
    pub id: u64,
    /// When it was published.
    pub published: SystemTime,
    /// What it was built from, in words.
    pub cause: String,
    /// By the entrypoint's position in the configuration.
    pub entrypoints: Vec<EntrypointTable>,
    /// Every route by qualified name, those that cannot work included.
    pub routes: Shards<Arc<RouteStatus>>,
    /// Every service that works, by qualified name.
    pub services: Shards<Arc<Service>>,
    /// Those that do not, and why.
    pub broken_services: Shards<String>,
    /// Every step by qualified name.
    pub steps: Shards<Arc<StepSpec>>,
    /// Native ones that do not work, and why.
    pub broken_steps: Shards<String>,
    /// Every configured use of a policy plugin, by the step's qualified name.
    pub policies: Shards<PolicyStatus>,
    /// Everything of TCP.
    pub tcp: Arc<Tcp>,
}

/// The routes an entrypoint answers, and the policies and steps of the entrypoint itself.
#[derive(Debug, Default)]
pub struct EntrypointTable {
    /// Looked up once a request.
    pub table: RouteTable<Arc<Route>>,
    /// Looked up for TLS connections of an entrypoint that is not TLS as a whole; absent where no route asks for them.
    pub secure: Option<RouteTable<Arc<Route>>>,
    /// What TLS connections are made with.
    pub tls: TlsHosts,
    /// Where whole connections go; absent where there are no such routes.
    pub tcp: Option<Arc<TcpTables>>,
    /// Run before the route's own chain.
    pub prelude: Arc<[Step]>,
    /// The names of these, for people.
    pub prelude_names: Vec<Arc<str>>,
    /// What is not noted of requests whose routes do not say it.
    pub unnoted: Unnoted,
    /// Why the entrypoint routes nothing, where a policy or step of its own does not work.
    pub broken: Option<Arc<Broken>>,
}

/// What is not noted of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnoted {
    /// It has no line in the access log.
    pub access_log: bool,
    /// It is not counted.
    pub metrics: bool,
}

/// An entrypoint that routes nothing.
#[derive(Debug)]
pub struct Broken {
    /// Its name.
    pub entrypoint: Arc<str>,
    /// Why.
    pub reason: String,
    /// What is missing may still be said by a provider that is asked while the gateway runs.
    pub may_come: bool,
}

impl EntrypointTable {
    /// The routes that answer a connection.
    #[must_use]
    pub fn routes(&self, is_tls: bool) -> &RouteTable<Arc<Route>> {
        self.secure.as_ref().filter(|_| is_tls).unwrap_or(&self.table)
    }
}

/// A route as requests use it.
#[derive(Debug)]
pub struct Route {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<RouteSpec>,
    /// Its rule, compiled.
    pub rule: Arc<Rule>,
    /// In the order a request meets them.
    pub chain: Arc<[Step]>,
    /// Who answers.
    pub service: Arc<Service>,
}

/// A route for the admin API: what it is, and whether it works.
#[derive(Clone, Debug)]
pub struct RouteStatus {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<RouteSpec>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Qualified names of its steps, chains unrolled.
    pub steps: Vec<Arc<str>>,
    /// Qualified names of the policies attached to it, then of its steps.
    pub chain: Vec<Arc<str>>,
    /// The compiled route; `None` where it cannot work.
    pub route: Option<Arc<Route>>,
    /// Names of the entrypoints that answer it.
    pub entrypoints: Vec<Arc<str>>,
    /// Why it cannot work.
    pub errors: Vec<String>,
    /// What of it works otherwise than it says.
    pub warnings: Vec<String>,
}

impl RouteStatus {
    /// Whether it works and is answered at an entrypoint.
    #[must_use]
    pub fn is_at(&self, entrypoint: &Arc<str>) -> bool {
        self.route.is_some() && self.entrypoints.contains(entrypoint)
    }
}

/// A configured use of a policy plugin, and whether it works.
#[derive(Clone, Debug)]
pub struct PolicyStatus {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its settings as JSON.
    pub settings: Arc<str>,
    /// The prepared use, or why there is none.
    pub policy: Result<Arc<PolicyUse>, String>,
}

impl Generation {
    /// Routes nothing.
    #[must_use]
    pub fn empty(entrypoints: usize) -> Self {
        Self {
            id: 0,
            published: SystemTime::UNIX_EPOCH,
            cause: "start".to_owned(),
            entrypoints: (0..entrypoints).map(|_| EntrypointTable::default()).collect(),
            routes: Shards::default(),
            services: Shards::default(),
            broken_services: Shards::default(),
            steps: Shards::default(),
            broken_steps: Shards::default(),
            policies: Shards::default(),
            tcp: Arc::default(),
        }
    }
}
