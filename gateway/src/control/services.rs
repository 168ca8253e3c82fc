//! Compiling services: instances with their shared state, cookies, strategies, and the services they are put together
//! from. What did not change since the last generation is shared with it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use sluice_model::balance::{Cycle, Maglev, fnv1};
use sluice_model::link::{Linked, LinkedService};
use sluice_model::service::{self, CookieValue, SameSite, StickyCookie, Strategy};
use sluice_model::{ServiceKind, Shards, Target};

use super::Parts;
use crate::live::{
    Balancer, Endpoint, Failover, Kind, MESH, Method, Mirror, Mirroring, Part, Service, Step, Sticky, Weighted,
};
use crate::state::{CheckKey, Checks, InstanceKey, Instances, ServiceState, Services};
use crate::telemetry::Telemetry;

/// Compiles services, remembering the last ones.
pub(super) struct ServiceCompiler {
    instances: Arc<Instances>,
    services: Arc<Services>,
    checks: Arc<Checks>,
    telemetry: Arc<Telemetry>,
    /// Names of the transports there are; they are set up once, at the start.
    transports: Vec<String>,
    working: Shards<Arc<Service>>,
    broken: Shards<String>,
}

/// Whether there is a way of speaking TLS of that name; or what is to be done.
pub(super) fn known_transport(name: Option<&str>, transports: &[String]) -> Result<(), String> {
    let unknown = |name: &&str| !name.starts_with(MESH) && !transports.iter().any(|known| known == name);
    let Some(name) = name.filter(unknown) else { return Ok(()) };
    Err(match name.strip_prefix("entrypoint:") {
        Some(entrypoint) => format!("entrypoint `{entrypoint}` has no certificate to show to instances"),
        None => format!("transport `{name}` does not exist; write `[transports.{name}]` and start again"),
    })
}

/// Services by qualified name, or why they cannot work; nothing where there is no such service.
pub(super) type Compiled = HashMap<Arc<str>, Result<Arc<Service>, String>>;

/// The chain of a service as a part of others.
pub(super) type Chains<'a> = &'a dyn Fn(&LinkedService) -> Result<Vec<Step>, String>;

impl ServiceCompiler {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            instances: Arc::clone(&parts.instances),
            services: Arc::clone(&parts.services),
            checks: Arc::clone(&parts.checks),
            telemetry: Arc::clone(&parts.telemetry),
            transports: parts.config.all_transports().into_iter().map(|transport| transport.name).collect(),
            working: Shards::default(),
            broken: Shards::default(),
        }
    }

    /// Compiles the services a change has touched.
    pub(super) fn compile(&self, linked: &Linked, touched: &BTreeSet<Arc<str>>, chains: Chains<'_>) -> Compiled {
        let mut compiled = Compiled::new();
        for name in touched.iter().filter(|name| linked.services.contains_key(*name)) {
            // It is in the map now, whatever became of it.
            self.service(linked, touched, name, chains, &mut compiled).ok();
        }
        compiled
    }

    /// Puts them in force: the next ones are shared with them, where they are the same.
    pub(super) fn keep(&mut self, touched: &BTreeSet<Arc<str>>, compiled: &Compiled) {
        for name in touched {
            let made = compiled.get(name);
            self.working.set(name, made.and_then(|made| made.clone().ok()));
            self.broken.set(name, made.and_then(|made| made.clone().err()));
        }
    }

    /// Every service that works.
    pub(super) fn working(&self) -> &Shards<Arc<Service>> {
        &self.working
    }

    /// Those that do not, and why.
    pub(super) fn broken(&self) -> &Shards<String> {
        &self.broken
    }

    /// A service, or why it does not work.
    pub(super) fn get(&self, name: &str) -> Option<Result<&Arc<Service>, &String>> {
        self.working.get(name).map(Ok).or_else(|| self.broken.get(name).map(Err))
    }

    /// Parts first; the linker has made sure that no service contains itself.
    fn service(
        &self,
        linked: &Linked,
        touched: &BTreeSet<Arc<str>>,
        name: &Arc<str>,
        chains: Chains<'_>,
        compiled: &mut Compiled,
    ) -> Result<Arc<Service>, String> {
        if let Some(done) = compiled.get(name) {
            return done.clone();
        }
        if let Some(known) = self.get(name).filter(|_| !touched.contains(name)) {
            return known.cloned().map_err(Clone::clone);
        }
        let made = match linked.services.get(name) {
            None => Err(format!("service `{name}` does not exist")),
            Some(declared) => match declared.errors.first() {
                Some(error) => Err(error.clone()),
                None => {
                    let parts = declared.parts.iter().map(|part| {
                        part.as_ref().map(|part| self.service(linked, touched, part, chains, compiled)).transpose()
                    });
                    parts.collect::<Result<Vec<_>, _>>().and_then(|parts| self.make(declared, chains, parts))
                }
            },
        };
        compiled.insert(Arc::clone(name), made.clone());
        made
    }

    fn make(
        &self,
        declared: &LinkedService,
        chains: Chains<'_>,
        parts: Vec<Option<Arc<Service>>>,
    ) -> Result<Arc<Service>, String> {
        let chain = chains(declared)?;
        let before = self.working.get(&declared.name);
        let same = before.filter(|before| {
            let same_parts = before.parts().into_iter().map(Arc::as_ptr).eq(parts.iter().flatten().map(Arc::as_ptr));
            let same_chain =
                before.chain.len() == chain.len() && before.chain.iter().zip(&chain).all(|(a, b)| a.is_same(b));
            before.spec == declared.spec && same_parts && same_chain
        });
        if let Some(same) = same {
            return Ok(Arc::clone(same));
        }
        let state = self.services.get(&declared.name);
        let kind = match &declared.spec.kind {
            ServiceKind::Balancer(spec) => Kind::Balancer(self.balancer(spec, state, before.is_some())?),
            ServiceKind::Weighted(spec) => Kind::Weighted(weighted(spec, parts, state)),
            ServiceKind::Mirroring(spec) => Kind::Mirroring(self.mirroring(spec, parts, &declared.name)?),
            ServiceKind::Failover(spec) => Kind::Failover(failover(spec, parts)?),
        };
        Ok(Arc::new(Service {
            name: Arc::clone(&declared.name),
            spec: Arc::clone(&declared.spec),
            kind,
            chain: chain.into(),
            metrics: self.telemetry.service(&declared.name),
        }))
    }

    /// `joins` says that the service was there before: targets that are new then have come up just now.
    fn balancer(&self, spec: &service::Balancer, state: Arc<ServiceState>, joins: bool) -> Result<Balancer, String> {
        known_transport(spec.transport.as_deref(), &self.transports)?;
        let endpoints: Vec<_> = spec.targets.iter().map(|target| self.endpoint(spec, target, &state, joins)).collect();
        let weights: Vec<u32> = spec.targets.iter().map(|target| target.weight).collect();
        let method = method(spec.strategy, &endpoints, &weights);
        state.reset_weights();
        state.limit(spec.limit.as_ref());
        if spec.passive_check.is_none() && spec.outlier_ejection.is_none() {
            // Nobody would notice that they are well again.
            endpoints.iter().for_each(|endpoint| state.bring_back(&endpoint.state));
        }
        let judges = spec.passive_check.is_some() || spec.outlier_ejection.is_some();
        let looks = matches!(method, Method::Rebalancing(_) | Method::LeastTime(_) | Method::PeakEwma);
        let urls = || endpoints.iter().map(|endpoint| endpoint.url.as_str());
        Ok(Balancer {
            plain: matches!(method, Method::Cycle(_))
                && spec.sticky.is_none()
                && spec.health_check.is_none()
                && spec.slow_start.is_zero(),
            pass_host_header: spec.pass_host_header,
            watches: judges || looks,
            limited: spec.limit.is_some(),
            sticky: spec.sticky.as_ref().map(|cookie| sticky(cookie, urls())),
            passive: spec.passive_check,
            outliers: spec.outlier_ejection,
            panic_percent: spec.panic_percent,
            slow_start: u64::try_from(spec.slow_start.as_nanos()).unwrap_or(u64::MAX),
            method,
            endpoints,
            state,
        })
    }

    fn endpoint(&self, spec: &service::Balancer, target: &Target, state: &ServiceState, joins: bool) -> Endpoint {
        let key = InstanceKey::new(target, spec.transport.as_deref());
        let check = spec.health_check.as_ref().map(|check| {
            let key = CheckKey { instance: key.clone(), check: check.clone() };
            self.checks.get(key)
        });
        let url = target.url();
        Endpoint {
            instance: self.instances.get(key),
            host: host_header(&target.address, target.port),
            path: target.path.clone(),
            weight: target.weight,
            state: state.target(&url, joins),
            url,
            check,
        }
    }

    fn mirroring(
        &self,
        spec: &service::Mirroring,
        parts: Vec<Option<Arc<Service>>>,
        name: &str,
    ) -> Result<Mirroring, String> {
        let mut parts = parts.into_iter();
        let main = parts.next().flatten().ok_or("the service that answers does not exist")?;
        let mirrors = spec.mirrors.iter().zip(parts).enumerate().filter_map(|(at, (mirror, service))| {
            let state = self.services.get(&format!("{name} mirror {at}").into());
            Some(Mirror { service: service?, percent: mirror.percent, state })
        });
        let most_body = usize::try_from(spec.most_body).unwrap_or(usize::MAX);
        Ok(Mirroring { main, mirrors: mirrors.collect(), body: spec.mirror_body, most_body })
    }
}

fn weighted(spec: &service::WeightedServices, parts: Vec<Option<Arc<Service>>>, state: Arc<ServiceState>) -> Weighted {
    let parts = spec.parts.iter().zip(parts).filter_map(|(share, service)| {
        Some(Part { name: share.service.clone(), weight: share.weight, service: service? })
    });
    let parts: Vec<_> = parts.collect();
    let weights: Vec<u32> = parts.iter().map(|part| part.weight).collect();
    let sticky = spec.sticky.as_ref().map(|cookie| sticky(cookie, parts.iter().map(|part| part.name.as_str())));
    let (split, health_check) = (spec.split, spec.health_check);
    Weighted { split, cycle: Cycle::new(&weights), sticky, health_check, state, parts }
}

fn failover(spec: &service::Failover, parts: Vec<Option<Arc<Service>>>) -> Result<Failover, String> {
    let mut parts = parts.into_iter();
    Ok(Failover {
        main: parts.next().flatten().ok_or("the service that answers does not exist")?,
        fallback: parts.next().flatten(),
        statuses: spec.statuses.clone(),
        most_body: usize::try_from(spec.most_body).unwrap_or(usize::MAX),
    })
}

fn method(strategy: Strategy, endpoints: &[Endpoint], weights: &[u32]) -> Method {
    match strategy {
        Strategy::RoundRobin => Method::Cycle(Cycle::new(weights)),
        Strategy::Rebalancing => Method::Rebalancing(Cycle::new(weights)),
        Strategy::TwoChoices => Method::TwoChoices,
        Strategy::Rendezvous => Method::Rendezvous,
        Strategy::LeastTime => Method::LeastTime(Cycle::new(weights)),
        Strategy::PeakEwma => Method::PeakEwma,
        Strategy::Maglev => {
            let targets: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.url.as_str(), endpoint.weight)).collect();
            Method::Maglev(Maglev::new(&targets))
        }
    }
}

/// A cookie that means one of these names, in today's and in earlier spellings.
fn sticky<'a>(cookie: &StickyCookie, names: impl Iterator<Item = &'a str>) -> Sticky {
    let mut sticky = Sticky { name: cookie.name.clone(), ..Sticky::default() };
    for (at, name) in names.enumerate() {
        let digest = digest(name);
        // Traefik's cookies once were FNV hashes of the name, and of such hashes.
        let hashed = format!("{:x}", fnv1(name.as_bytes()));
        let twice = format!("{:x}", fnv1(hashed.as_bytes()));
        let today = if cookie.value == CookieValue::Url { name } else { &digest };
        for value in [name, &digest, &hashed, &twice] {
            sticky.values.entry(value.to_owned()).or_insert((at, value == today));
        }
        let line = set_cookie(cookie, today);
        // A name that is no header value is no cookie either; the client then is not bound.
        sticky.set.push(HeaderValue::try_from(line).unwrap_or(HeaderValue::from_static("")));
    }
    sticky
}

/// The first 16 hexadecimal digits of a SHA-256.
fn digest(name: &str) -> String {
    let mut text = String::with_capacity(16);
    for byte in Sha256::digest(name).iter().take(8) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// In the order Go writes attributes in.
fn set_cookie(cookie: &StickyCookie, value: &str) -> String {
    let mut line = format!("{}={value}; Path={}", cookie.name, cookie.path);
    if let Some(domain) = &cookie.domain {
        line += &format!("; Domain={domain}");
    }
    if let Some(seconds) = cookie.max_age {
        line += &format!("; Max-Age={}", seconds.max(0));
    }
    if cookie.http_only {
        line += "; HttpOnly";
    }
    if cookie.secure {
        line += "; Secure";
    }
    line += match cookie.same_site {
        Some(SameSite::None) => "; SameSite=None",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::Strict) => "; SameSite=Strict",
        None => "",
    };
    line
}

fn host_header(address: &str, port: u16) -> HeaderValue {
    let text = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(value: CookieValue) -> StickyCookie {
        StickyCookie {
            name: "sid".into(),
            value,
            secure: true,
            http_only: true,
            same_site: Some(SameSite::Lax),
            max_age: Some(60),
            path: "/".into(),
            domain: Some("shop.test".into()),
        }
    }

    #[test]
    fn cookies_are_written_as_go_does() {
        let line = set_cookie(&cookie(CookieValue::Url), "v");
        assert_eq!(line, "sid=v; Path=/; Domain=shop.test; Max-Age=60; HttpOnly; Secure; SameSite=Lax");
        let expired = StickyCookie { max_age: Some(-5), same_site: None, ..cookie(CookieValue::Url) };
        assert!(set_cookie(&expired, "v").contains("Max-Age=0;"));
    }

    #[test]
    fn values_of_today_and_of_before_are_understood() {
        let urls = ["http://10.0.0.1:80", "http://10.0.0.2:80"];
        let modern = sticky(&cookie(CookieValue::Digest), urls.into_iter());
        // printf %s http://10.0.0.2:80 | sha256sum
        assert_eq!(modern.values.get("e0c6f0ca44f87f06"), Some(&(1, true)));
        assert_eq!(modern.values.get(urls[0]), Some(&(0, false)));
        assert_eq!(modern.values.get(format!("{:x}", fnv1(urls[1].as_bytes())).as_str()), Some(&(1, false)));
        let classic = sticky(&cookie(CookieValue::Url), urls.into_iter());
        assert_eq!(classic.values.get(urls[0]), Some(&(0, true)));
        assert!(
            classic.set.first().is_some_and(|line| line.as_bytes().starts_with(b"sid=http://10.0.0.1:80; Path=/;"))
        );
    }
}
