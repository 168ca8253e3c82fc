//! Whole connections: TCP routes, services and steps, compiled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ipnet::IpNet;
use sluice_model::balance::Cycle;
use sluice_model::tcp::{ConnectionView, TcpRouteSpec, TcpRule, TcpServiceSpec, TcpStepSpec, TcpTable};

use crate::state::{CheckState, ConnectionCounts};
use crate::telemetry::TcpMetrics;

/// Everything of TCP, for the admin API.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    /// Every route, those that cannot work included, ordered by name.
    pub routes: Vec<TcpRouteStatus>,
    /// Every service by qualified name.
    pub services: HashMap<Arc<str>, Arc<TcpService>>,
    /// Every step by qualified name.
    pub steps: HashMap<Arc<str>, Arc<TcpStepSpec>>,
}

/// The TCP routes an entrypoint answers.
#[derive(Debug, Default)]
pub struct TcpTables {
    /// For plain connections.
    pub plain: TcpTable<Arc<TcpRoute>>,
    /// For TLS connections.
    pub tls: TcpTable<Arc<TcpRoute>>,
}

/// A TCP route as connections use it.
#[derive(Debug)]
pub struct TcpRoute {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<TcpRouteSpec>,
    /// Its rule, compiled.
    pub rule: Arc<TcpRule>,
    /// The number of the TLS options it is terminated with.
    pub options: usize,
    /// In the order a connection meets them.
    pub steps: Arc<[TcpStep]>,
    /// Who answers.
    pub service: Arc<TcpService>,
}

/// A step of a TCP route.
#[derive(Clone, Debug)]
pub enum TcpStep {
    /// At most so many connections at once of one client.
    InFlight(Arc<ConnectionCounts>, u64),
    /// Only clients in these ranges.
    AllowList(Arc<[IpNet]>),
}

/// A TCP route for the admin API: what it is, and whether it works.
#[derive(Clone, Debug)]
pub struct TcpRouteStatus {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<TcpRouteSpec>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Qualified names of its steps.
    pub steps: Vec<Arc<str>>,
    /// The compiled route; `None` where it cannot work.
    pub route: Option<Arc<TcpRoute>>,
    /// Names of the entrypoints that answer it.
    pub entrypoints: Vec<Arc<str>>,
    /// Why it cannot work.
    pub errors: Vec<String>,
    /// What else its author should know.
    pub warnings: Vec<String>,
}

/// A TCP service as connections use it.
#[derive(Debug)]
pub struct TcpService {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared; its targets are the endpoints.
    pub spec: Arc<TcpServiceSpec>,
    /// What health checks say of each target, where there are any.
    pub checks: Vec<Option<Arc<CheckState>>>,
    /// The order in which targets take turns.
    pub cycle: Cycle,
    /// Whose turn it is; handed on to the next generation.
    pub turn: Arc<AtomicUsize>,
    /// Connections and bytes.
    pub metrics: Arc<TcpMetrics>,
}

impl TcpService {
    /// Whether a target may take connections, as far as is known.
    #[must_use]
    pub fn is_up(&self, target: usize) -> bool {
        self.checks.get(target).and_then(Option::as_ref).is_none_or(|check| check.is_up())
    }
}

impl TcpTables {
    /// The route that answers a plain connection.
    #[must_use]
    pub fn plain(&self, client: std::net::IpAddr) -> Option<&Arc<TcpRoute>> {
        self.plain.find(&ConnectionView { server_name: "", alpn: &[], client })
    }
}
