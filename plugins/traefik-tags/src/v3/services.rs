//! `http.services`: each one, or the automatic one, has exactly one server, this instance, or is put together from other
//! services.

use sluice_plugin_sdk::router::{
    Balancer, CookieValue, RequestLimit, Scheme, ServiceKind, ServiceSpec, StickyCookie, Strategy, Target,
};

use super::{Instance, composite, health};
use crate::merge::Candidate;
use crate::report::Problem;
use crate::sticky;
use crate::tags::tree::Node;
use crate::tags::words;

/// Names of `strategy`. The last two are not Traefik's.
const STRATEGIES: &[(&str, Strategy)] = &[
    ("wrr", Strategy::RoundRobin),
    ("p2c", Strategy::TwoChoices),
    ("hrw", Strategy::Rendezvous),
    ("leasttime", Strategy::LeastTime),
    ("drr", Strategy::Rebalancing),
    ("peakewma", Strategy::PeakEwma),
    ("maglev", Strategy::Maglev),
];

/// With fewer targets in health all are used, where outliers are ejected.
const PANIC_PERCENT: u32 = 50;

/// Requests that may wait where a service has a limit, and for how long.
const QUEUE: u32 = 100;
const QUEUE_TIME_NS: u64 = 100_000_000;

/// The services of an instance.
///
/// # Errors
/// A server that cannot be built, which leaves out the whole instance.
pub(super) fn read(own: &Instance<'_>) -> Result<Vec<Candidate<ServiceSpec>>, Problem> {
    let named = own.http("services");
    if named.is_empty() && own.speaks_http() {
        let name = own.automatic_name();
        let targets = vec![target(own, &Node::default())?];
        let balancer = Balancer { targets, transport: own.mesh.clone(), ..Balancer::default() };
        return Ok(vec![Candidate::new(name.clone(), &own.id, Ok(ServiceSpec::balanced(name, balancer)))]);
    }
    named.iter().map(|node| service(own, node)).collect()
}

fn service(own: &Instance<'_>, node: &Node) -> Result<Candidate<ServiceSpec>, Problem> {
    let kind = match node.child("loadbalancer") {
        Some(options) => {
            let target = target(own, options.child("server").unwrap_or(&Node::default()))?;
            balancer(own, &node.name, options, target).map(ServiceKind::Balancer)
        }
        None => match composite::kind(own, node) {
            Some(kind) => kind,
            None => {
                let message = format!("service `{}` has no loadbalancer option; the instance is left out", node.name);
                return Err(Problem::new(&node.tag, message));
            }
        },
    };
    let (name, steps) = (node.name.clone(), node.list("middlewares"));
    Ok(Candidate::new(name.clone(), &own.id, kind.map(|kind| ServiceSpec { name, kind, steps })))
}

/// What the options of `loadbalancer` say besides the server.
fn balancer(own: &Instance<'_>, name: &str, options: &Node, target: Target) -> Result<Balancer, Problem> {
    // Traefik never sends requests to who failed its check; whoever asks for what Traefik has not gets Envoy's default.
    let by_default = if options.child("outlierejection").is_some() { PANIC_PERCENT } else { 0 };
    let panic = options.integer("panicthreshold").map(|percent| u32::try_from(percent.clamp(0, 100)).unwrap_or(0));
    Ok(Balancer {
        targets: vec![target],
        pass_host_header: options.flag("passhostheader").unwrap_or(true),
        strategy: strategy(options)?,
        sticky: options.child("sticky").and_then(|node| cookie(own, name, node)),
        health_check: options.child("healthcheck").map(health::active).transpose()?,
        passive_check: options.child("passivehealthcheck").map(health::passive),
        outlier_ejection: options.child("outlierejection").map(health::outliers),
        panic_percent: panic.unwrap_or(by_default),
        slow_start_ns: options.nanoseconds("slowstart").unwrap_or(0),
        limit: limit(options),
        transport: own.mesh.clone().or_else(|| transport(options)),
        ..Balancer::default()
    })
}

fn strategy(options: &Node) -> Result<Strategy, Problem> {
    let Some(name) = options.text("strategy").filter(|name| !name.is_empty()) else { return Ok(Strategy::RoundRobin) };
    STRATEGIES.iter().find(|(known, _)| *known == name).map(|(_, strategy)| *strategy).ok_or_else(|| {
        let known: Vec<&str> = STRATEGIES.iter().map(|(name, _)| *name).collect();
        Problem::new(options.tag_of("strategy"), format!("strategy `{name}` is none of {}", known.join(", ")))
    })
}

/// The cookie of a `sticky` option: without `cookie` there is none, as in Traefik.
pub(super) fn cookie(own: &Instance<'_>, service: &str, sticky: &Node) -> Option<StickyCookie> {
    let options = sticky.child("cookie")?;
    let text = |name: &str| options.text(name).filter(|text| !text.is_empty());
    let qualified = format!("{service}@{}", own.settings.provider);
    Some(StickyCookie {
        secure: options.flag("secure").unwrap_or(false),
        http_only: options.flag("httponly").unwrap_or(false),
        same_site: text("samesite").and_then(sticky::same_site),
        max_age: options.integer("maxage").filter(|seconds| *seconds != 0),
        path: text("path").unwrap_or("/").to_owned(),
        domain: text("domain").map(str::to_owned),
        ..sticky::cookie(sticky::name(text("name"), &qualified), CookieValue::Digest)
    })
}

fn limit(options: &Node) -> Option<RequestLimit> {
    let whole = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    let active = options.integer("maxrequests").map(whole).filter(|active| *active > 0)?;
    let queue = options.child("queue");
    Some(RequestLimit {
        active,
        waiting: queue.and_then(|queue| queue.integer("size")).map_or(QUEUE, whole),
        wait_ns: queue.and_then(|queue| queue.nanoseconds("timeout")).unwrap_or(QUEUE_TIME_NS),
    })
}

/// References carry a provider in Traefik; here transports are the configuration file's.
pub(super) fn transport(options: &Node) -> Option<String> {
    let reference = options.text("serverstransport")?;
    let name = reference.split('@').next().unwrap_or(reference);
    (!name.is_empty() && reference != "default@internal").then(|| name.to_owned())
}

/// The instance as the options of `server` say.
fn target(own: &Instance<'_>, server: &Node) -> Result<Target, Problem> {
    let instance = own.accepted.instance;
    let weight = server.integer("weight").map_or(1, |weight| u32::try_from(weight.max(0)).unwrap_or(u32::MAX));
    let id = instance.id.clone();
    if let Some(url) = server.text("url").filter(|url| !url.is_empty()) {
        if server.text("port").is_some() || server.text("scheme").is_some() {
            return Err(Problem::new(server.tag_of("url"), "`url` excludes `port` and `scheme`"));
        }
        let (scheme, address, port, path) =
            split_url(url).map_err(|message| Problem::new(server.tag_of("url"), message))?;
        let scheme = own.meshed(scheme);
        let path = if server.flag("preservepath") == Some(true) { path } else { String::new() };
        return Ok(Target { instance: id, scheme, address, port, path, weight });
    }
    let scheme = scheme(server.text("scheme").filter(|text| !text.is_empty()).unwrap_or("http"))
        .map_err(|message| Problem::new(server.tag_of("scheme"), message))?;
    let scheme = own.meshed(scheme);
    let port = match server.text("port").filter(|text| !text.is_empty()) {
        Some(port) => port_number(port).map_err(|message| Problem::new(server.tag_of("port"), message))?,
        None => instance.port,
    };
    Ok(Target { instance: id, scheme, address: instance.address.clone(), port, path: String::new(), weight })
}

/// The scheme a text names.
pub(crate) fn scheme(text: &str) -> Result<Scheme, String> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        "h2c" => Ok(Scheme::H2c),
        _ => Err(format!("scheme `{text}` is none of http, https, h2c")),
    }
}

pub(super) fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("port `{text}` is not a number from 0 to 65535"))
}

/// Scheme, host, port and path. The path is empty, or it begins with a slash and does not end with one.
fn split_url(url: &str) -> Result<(Scheme, String, u16, String), String> {
    let (name, rest) =
        url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL such as http://10.0.0.1:80"))?;
    let scheme = scheme(name)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    if path.contains(['?', '#', ' ', '\\', '%']) || path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("the path of `{url}` cannot be put before a request's"));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(['@', ' ', '?', '#']) {
        return Err(format!("`{url}` has no usable host"));
    }
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    Ok((scheme, host.to_owned(), port.map_or(Ok(default), port_number)?, path.to_owned()))
}

impl Node {
    /// A duration option in nanoseconds; a negative one is 0.
    pub(super) fn nanoseconds(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(words::duration).map(|duration| duration.nanoseconds())
    }
}
