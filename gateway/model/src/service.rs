//! Services as declared: what routes send requests to.
//!
//! Like [`contribution`](crate::contribution) these mirror the records of `wit/types.wit`. A service either has targets
//! of its own ([`Balancer`]) or is put together from other services, which it names.

use std::time::Duration;

use crate::contribution::Scheme;

/// A service as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Unique within the provider.
    pub name: String,
    /// Where its requests go.
    pub kind: ServiceKind,
    /// Step names, in the order a request meets them after those of its route.
    pub steps: Vec<String>,
}

/// Where a service's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// To targets of its own.
    Balancer(Box<Balancer>),
    /// To one of several services.
    Weighted(WeightedServices),
    /// To a service, and copies to others.
    Mirroring(Mirroring),
    /// To a service, or to another one while that is down.
    Failover(Failover),
}

/// A service with targets of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// Where requests go.
    pub targets: Vec<Target>,
    /// Send the client's Host header upstream.
    pub pass_host_header: bool,
    /// Which target a request goes to.
    pub strategy: Strategy,
    /// Binds clients to targets.
    pub sticky: Option<StickyCookie>,
    /// How targets are asked whether they are well.
    pub health_check: Option<HealthCheck>,
    /// Which failures of requests take a target out, as Traefik has it.
    pub passive_check: Option<PassiveCheck>,
    /// Which failures of requests take a target out, as Envoy has it.
    pub outlier_ejection: Option<OutlierEjection>,
    /// With a smaller share of targets in health, all are used.
    pub panic_percent: u32,
    /// How long a target that has come up takes to get its full share.
    pub slow_start: Duration,
    /// How much is taken at once.
    pub limit: Option<RequestLimit>,
    /// The name of a `[transports.NAME]` of the configuration.
    pub transport: Option<String>,
    /// The body of the 503 while no target takes requests.
    pub unavailable: String,
}

/// An instance as a service uses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The id of the instance in the catalog.
    pub instance: String,
    /// How to speak to it.
    pub scheme: Scheme,
    /// IP address or host name.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Put before every request's path; empty, or it begins with `/` and does not end with one.
    pub path: String,
    /// Its share relative to the others; 0 is never chosen.
    pub weight: u32,
}

/// Which target a request goes to, of those that take requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// The same, away from targets that answer 5xx clearly more often.
    Rebalancing,
    /// Of two at random the one with fewer requests under way.
    TwoChoices,
    /// Rendezvous hash of the client's address.
    Rendezvous,
    /// The lowest mean time to an answer × requests under way, by weight.
    LeastTime,
    /// Of two at random the one with the lower recent peak latency × requests under way.
    PeakEwma,
    /// Maglev hash of the client's address.
    Maglev,
}

/// A cookie that binds a client to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: CookieValue,
    /// Only over TLS.
    pub secure: bool,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Whether it is sent across sites.
    pub same_site: Option<SameSite>,
    /// Seconds it lasts.
    pub max_age: Option<i64>,
    /// Where on the site it is sent.
    pub path: String,
    /// To which hosts it is sent.
    pub domain: Option<String>,
}

/// What a stickiness cookie says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieValue {
    /// The target's URL.
    Url,
    /// The first 16 hexadecimal digits of its SHA-256.
    #[default]
    Digest,
}

/// Whether a cookie is sent across sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Always.
    None,
    /// When a link is followed.
    Lax,
    /// Never.
    Strict,
}

/// How targets are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// What a question is.
    pub protocol: CheckProtocol,
    /// Only for http.
    pub path: String,
    /// Only for http.
    pub method: String,
    /// The status of a target that is well; none is 200 to 399.
    pub status: Option<u16>,
    /// Sent along.
    pub headers: Vec<(String, String)>,
    /// The Host header; empty is the target's address.
    pub host: String,
    /// Ask again where a redirect leads.
    pub follow_redirects: bool,
    /// Only for tcp: what is said on a connection.
    pub send: String,
    /// Only for tcp: what the answer has to begin with.
    pub expect: String,
    /// In place of the target's.
    pub scheme: Option<Scheme>,
    /// In place of the target's.
    pub port: Option<u16>,
    /// Between questions.
    pub interval: Duration,
    /// Between questions while the target is not well.
    pub unhealthy_interval: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// Ask as soon as a target is known.
    pub at_once: bool,
    /// Good answers in a row that bring a target back.
    pub passes: u32,
    /// Bad ones in a row that take it out.
    pub failures: u32,
}

/// What a health check asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckProtocol {
    /// A request.
    #[default]
    Http,
    /// The standard gRPC health service.
    Grpc,
    /// A connection.
    Tcp,
}

/// That many failures within a window take a target out for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassiveCheck {
    /// How long failures count, and how long a target is out.
    pub window: Duration,
    /// How many.
    pub failures: u32,
}

/// That many failures in a row take a target out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierEjection {
    /// How many.
    pub failures: u32,
    /// The first time; twice as long each time it happens again.
    pub base: Duration,
    /// At most.
    pub most: Duration,
    /// Of the targets, that may be out at once. One of several always may.
    pub most_percent: u32,
}

/// How many requests a service takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimit {
    /// Under way.
    pub active: u32,
    /// Waiting for one of those to end.
    pub waiting: u32,
    /// For how long.
    pub wait: Duration,
}

/// Several services as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedServices {
    /// The services, with their shares.
    pub parts: Vec<Share>,
    /// Which one a request goes to.
    pub split: Split,
    /// Binds clients to one of them.
    pub sticky: Option<StickyCookie>,
    /// Leave out those without a target in health.
    pub health_check: bool,
}

/// A service as part of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub service: String,
    /// Relative to the other parts; 0 is never chosen.
    pub weight: u32,
}

/// Which part a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// By turns.
    #[default]
    Weighted,
    /// By rendezvous hash of the client's address.
    Hashed,
}

/// A service whose requests are copied to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirroring {
    /// Who answers.
    pub service: String,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Copy bodies as well.
    pub mirror_body: bool,
    /// Requests with a longer body are not copied.
    pub most_body: u64,
}

/// A service that gets copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its name.
    pub service: String,
    /// Of 100 requests.
    pub percent: u32,
}

/// A service with another one behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Who answers.
    pub service: String,
    /// Who answers while that one is down.
    pub fallback: String,
    /// Answers of these statuses, both ends included, are replaced by the fallback's.
    pub statuses: Vec<(u16, u16)>,
    /// A request with a longer body is not sent a second time.
    pub most_body: u64,
}

impl ServiceSpec {
    /// A service with these targets and nothing else said.
    #[must_use]
    pub fn of_targets(name: impl Into<String>, targets: Vec<Target>) -> Self {
        let balancer = Box::new(Balancer { targets, ..Balancer::default() });
        Self { name: name.into(), kind: ServiceKind::Balancer(balancer), steps: Vec::new() }
    }

    /// Its own targets; none where it is put together from others.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        self.balancer().map_or(&[], |balancer| &balancer.targets)
    }

    /// What it says of its own targets.
    #[must_use]
    pub fn balancer(&self) -> Option<&Balancer> {
        match &self.kind {
            ServiceKind::Balancer(balancer) => Some(balancer),
            _ => None,
        }
    }

    /// The services it is put together from, by name as declared.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        match &self.kind {
            ServiceKind::Balancer(_) => Vec::new(),
            ServiceKind::Weighted(weighted) => weighted.parts.iter().map(|part| part.service.as_str()).collect(),
            ServiceKind::Mirroring(mirroring) => {
                let mirrors = mirroring.mirrors.iter().map(|mirror| mirror.service.as_str());
                std::iter::once(mirroring.service.as_str()).chain(mirrors).collect()
            }
            ServiceKind::Failover(failover) => vec![&failover.service, &failover.fallback],
        }
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            pass_host_header: true,
            strategy: Strategy::RoundRobin,
            sticky: None,
            health_check: None,
            passive_check: None,
            outlier_ejection: None,
            panic_percent: 50,
            slow_start: Duration::ZERO,
            limit: None,
            transport: None,
            unavailable: "no available server\n".to_owned(),
        }
    }
}

impl Target {
    /// `scheme://address:port` and its path, IPv6 addresses in brackets, as the admin API shows it and as Traefik
    /// hashes it.
    #[must_use]
    pub fn url(&self) -> String {
        self.scheme.url(&self.address, self.port) + &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_targets_are_bracketed() {
        let mut target = Target {
            instance: "a".into(),
            scheme: Scheme::Http,
            address: "fd00::5".into(),
            port: 80,
            path: String::new(),
            weight: 1,
        };
        assert_eq!(target.url(), "http://[fd00::5]:80");
        target.address = "10.0.0.1".into();
        target.path = "/api".into();
        assert_eq!(target.url(), "http://10.0.0.1:80/api");
    }
}
