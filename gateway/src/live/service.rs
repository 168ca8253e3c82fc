//! Services as requests use them.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::header::HeaderValue;
use sluice_model::ServiceSpec;
use sluice_model::balance::{Cycle, Maglev};
use sluice_model::service::{OutlierEjection, PassiveCheck, Split};

use super::chain::Step;
use crate::state::{CheckState, InstanceState, ServiceState, TargetState};
use crate::telemetry::ServiceMetrics;

/// A service, ready for every worker.
#[derive(Debug)]
pub struct Service {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<ServiceSpec>,
    /// Where its requests go.
    pub kind: Kind,
    /// What a request passes where the service is part of another one. Where a route names it, its steps are at the end
    /// of the route's.
    pub chain: Arc<[Step]>,
    /// Counts and durations.
    pub metrics: Arc<ServiceMetrics>,
}

/// Where a service's requests go.
#[derive(Debug)]
pub enum Kind {
    /// To instances.
    Balancer(Balancer),
    /// To one of several services.
    Weighted(Weighted),
    /// To a service, and copies to others.
    Mirroring(Mirroring),
    /// To a service, or to another one while that is down.
    Failover(Failover),
}

/// A service with instances of its own.
#[derive(Debug)]
pub struct Balancer {
    /// Where requests can go.
    pub endpoints: Vec<Endpoint>,
    /// Which of them comes next.
    pub method: Method,
    /// Nothing but turns decides, as long as nobody is out.
    pub plain: bool,
    /// Send the client's Host header upstream.
    pub pass_host_header: bool,
    /// Whether what becomes of requests is looked at.
    pub watches: bool,
    /// Whether there is a limit on requests under way.
    pub limited: bool,
    /// Shared with the generations before and after.
    pub state: Arc<ServiceState>,
    /// Binds clients to instances.
    pub sticky: Option<Sticky>,
    /// Which failures take an instance out.
    pub passive: Option<PassiveCheck>,
    /// The same, another way.
    pub outliers: Option<OutlierEjection>,
    /// With a smaller share in health, all are used.
    pub panic_percent: u32,
    /// In nanoseconds; 0 is at once.
    pub slow_start: u64,
}

/// Which endpoint comes next.
#[derive(Debug)]
pub enum Method {
    /// By turns.
    Cycle(Cycle),
    /// By turns, with weights that move.
    Rebalancing(Cycle),
    /// The less busy of two.
    TwoChoices,
    /// By rendezvous hash.
    Rendezvous,
    /// The quickest, by load and weight.
    LeastTime(Cycle),
    /// The quicker of two, by load.
    PeakEwma,
    /// By a table.
    Maglev(Maglev),
}

/// An instance as a service uses it.
#[derive(Debug)]
pub struct Endpoint {
    /// What is shared by all services that use this address.
    pub instance: Arc<InstanceState>,
    /// The Host header where the service does not pass the client's.
    pub host: HeaderValue,
    /// Put before every path; mostly empty.
    pub path: String,
    /// Relative to the others; 0 is never chosen.
    pub weight: u32,
    /// `scheme://address:port`, and the path.
    pub url: String,
    /// What this service knows of it.
    pub state: Arc<TargetState>,
    /// What its check has found out, where it has one.
    pub check: Option<Arc<CheckState>>,
}

/// A cookie that binds clients to one of several.
#[derive(Debug, Default)]
pub struct Sticky {
    /// Its name.
    pub name: String,
    /// Whom each value means, and whether it is how that is written today.
    pub values: HashMap<String, (usize, bool)>,
    /// `Set-Cookie` for each.
    pub set: Vec<HeaderValue>,
}

/// Several services as one.
#[derive(Debug)]
pub struct Weighted {
    /// The services.
    pub parts: Vec<Part>,
    /// By turns or by hash.
    pub split: Split,
    /// The order of turns.
    pub cycle: Cycle,
    /// Binds clients to one of them.
    pub sticky: Option<Sticky>,
    /// Leave out those without an instance in health.
    pub health_check: bool,
    /// Whose turn it is.
    pub state: Arc<ServiceState>,
}

/// A service as part of another.
#[derive(Debug)]
pub struct Part {
    /// As the whole names it.
    pub name: String,
    /// Relative to the other parts.
    pub weight: u32,
    /// The service.
    pub service: Arc<Service>,
}

/// A service whose requests are copied.
#[derive(Debug)]
pub struct Mirroring {
    /// Who answers.
    pub main: Arc<Service>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Copy bodies as well.
    pub body: bool,
    /// Requests with a longer body are not copied.
    pub most_body: usize,
}

/// A service that gets copies.
#[derive(Debug)]
pub struct Mirror {
    /// The service.
    pub service: Arc<Service>,
    /// Of 100 requests.
    pub percent: u32,
    /// Counts requests.
    pub state: Arc<ServiceState>,
}

/// A service with another one behind it.
#[derive(Debug)]
pub struct Failover {
    /// Who answers.
    pub main: Arc<Service>,
    /// Who answers while that one is down; nobody where there is no such service.
    pub fallback: Option<Arc<Service>>,
    /// Answers of these statuses are replaced by the fallback's.
    pub statuses: Vec<(u16, u16)>,
    /// A request with a longer body is not sent a second time.
    pub most_body: usize,
}

impl Service {
    /// Its instances and how they are chosen; none where it is put together from other services.
    #[must_use]
    pub fn balancer(&self) -> Option<&Balancer> {
        match &self.kind {
            Kind::Balancer(balancer) => Some(balancer),
            _ => None,
        }
    }

    /// The services it is put together from.
    #[must_use]
    pub fn parts(&self) -> Vec<&Arc<Self>> {
        match &self.kind {
            Kind::Balancer(_) => Vec::new(),
            Kind::Weighted(weighted) => weighted.parts.iter().map(|part| &part.service).collect(),
            Kind::Mirroring(mirroring) => {
                std::iter::once(&mirroring.main).chain(mirroring.mirrors.iter().map(|mirror| &mirror.service)).collect()
            }
            Kind::Failover(failover) => std::iter::once(&failover.main).chain(&failover.fallback).collect(),
        }
    }

    /// Whether some instance of it is in health.
    #[must_use]
    pub fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Balancer(balancer) => {
                balancer.endpoints.iter().any(|endpoint| endpoint.weight > 0 && balancer.is_well(endpoint))
            }
            Kind::Weighted(weighted) => weighted.parts.iter().any(|part| part.weight > 0 && part.service.is_up()),
            Kind::Mirroring(mirroring) => mirroring.main.is_up(),
            Kind::Failover(failover) => {
                failover.main.is_up() || failover.fallback.as_ref().is_some_and(|fallback| fallback.is_up())
            }
        }
    }
}

impl Balancer {
    /// Whether an endpoint's check lets it be used and it has not been taken out.
    #[must_use]
    pub fn is_well(&self, endpoint: &Endpoint) -> bool {
        let (up, passed_at) = endpoint.check.as_ref().map_or((true, 0), |check| (check.is_up(), check.passed_at()));
        up && !self.state.is_out(&endpoint.state, passed_at)
    }

    /// Whether so few endpoints are in health that all are used. Not where every check says that its instance is down.
    #[must_use]
    pub fn panics(&self) -> bool {
        let (mut all, mut well, mut down) = (0, 0, 0);
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.weight > 0) {
            all += 1;
            if endpoint.check.as_ref().is_some_and(|check| !check.is_up()) {
                down += 1;
            } else if self.is_well(endpoint) {
                well += 1;
            }
        }
        down < all && well * 100 < all * self.panic_percent
    }
}
