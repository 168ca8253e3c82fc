//! The options of a v1 backend that concern balancing: method, stickiness, health check.

use sluice_plugin_sdk::router::{
    Balancer, CheckProtocol, CookieValue, HeaderLine, HealthCheck, StickyCookie, Strategy, Target,
};

use super::options::{Chosen, Options};
use crate::report::Report;
use crate::sticky;
use crate::tags::words;
use crate::v3::scheme;

const SECOND: u64 = 1_000_000_000;

/// Traefik's global value, which garbage means too.
const INTERVAL: u64 = 30 * SECOND;
const TIMEOUT: u64 = 5 * SECOND;

/// What is said of the instances of a service as a whole.
pub(super) fn balancer(options: &Options<'_>, service: &str, targets: Vec<Target>, report: &mut Report) -> Balancer {
    let backend = Backend { options, object: format!("service {service}"), service };
    Balancer {
        targets,
        strategy: backend.strategy(report),
        sticky: backend.cookie(report),
        health_check: backend.health_check(report),
        // Whoever fails the check gets no requests, however many fail.
        panic_percent: 0,
        unavailable: "Service Unavailable".to_owned(),
        ..Balancer::default()
    }
}

struct Backend<'a> {
    options: &'a Options<'a>,
    /// How diagnostics name it.
    object: String,
    service: &'a str,
}

impl<'a> Backend<'a> {
    fn get(&self, name: &str) -> Option<Chosen<'a>> {
        self.options.get(&format!("backend.{name}"))
    }

    fn flag(&self, name: &str, report: &mut Report) -> bool {
        let Some(chosen) = self.get(name) else { return false };
        words::boolean(chosen.value).unwrap_or_else(|| {
            report.warning(&self.object, chosen.tag, "this is not a boolean, so it is false, as by default");
            false
        })
    }

    /// `loadbalancer.method`, which wins over its deprecated spelling. What is unknown is `wrr`.
    fn strategy(&self, report: &mut Report) -> Strategy {
        let deprecated = self.get("loadbalancer");
        if let Some(chosen) = deprecated {
            let message = "`backend.loadbalancer` is deprecated; use `backend.loadbalancer.method`";
            report.warning(&self.object, chosen.tag, message);
        }
        let Some(chosen) = self.get("loadbalancer.method").or(deprecated) else { return Strategy::RoundRobin };
        match chosen.value.to_ascii_lowercase().as_str() {
            "drr" => Strategy::Rebalancing,
            "wrr" => Strategy::RoundRobin,
            other => {
                report.warning(&self.object, chosen.tag, format!("`{other}` is neither wrr nor drr, so it is wrr"));
                Strategy::RoundRobin
            }
        }
    }

    /// Only `stickiness=true` makes clients stick; its options alone do nothing.
    fn cookie(&self, report: &mut Report) -> Option<StickyCookie> {
        if self.flag("loadbalancer.stickiness", report) {
            let text = |name: &str| self.get(&format!("loadbalancer.stickiness.{name}")).map(|chosen| chosen.value);
            let name = sticky::name(text("cookieName"), &format!("backend-{}", self.service));
            return Some(StickyCookie {
                secure: self.flag("loadbalancer.stickiness.secure", report),
                http_only: self.flag("loadbalancer.stickiness.httpOnly", report),
                same_site: text("sameSite").and_then(sticky::same_site),
                ..sticky::cookie(name, CookieValue::Url)
            });
        }
        let deprecated = self.get("loadbalancer.sticky")?;
        let message = "`backend.loadbalancer.sticky` is deprecated; use `backend.loadbalancer.stickiness`";
        report.warning(&self.object, deprecated.tag, message);
        let name = "_TRAEFIK_BACKEND".to_owned();
        self.flag("loadbalancer.sticky", report).then(|| sticky::cookie(name, CookieValue::Url))
    }

    /// Without a path there is no check, whatever else is said.
    fn health_check(&self, report: &mut Report) -> Option<HealthCheck> {
        let path = self.get("healthcheck.path")?.value;
        let interval = self.interval(report);
        let port = self.get("healthcheck.port").and_then(|chosen| words::integer(chosen.value));
        Some(HealthCheck {
            protocol: CheckProtocol::Http,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            method: "GET".to_owned(),
            status: None,
            headers: self.get("healthcheck.headers").map(|chosen| headers(chosen.value)).unwrap_or_default(),
            host: self.get("healthcheck.hostname").map(|chosen| chosen.value.to_owned()).unwrap_or_default(),
            follow_redirects: true,
            send: String::new(),
            expect: String::new(),
            scheme: self.get("healthcheck.scheme").and_then(|chosen| {
                scheme(chosen.value).map_err(|message| report.warning(&self.object, chosen.tag, message)).ok()
            }),
            port: port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
            interval_ns: interval,
            unhealthy_interval_ns: interval,
            timeout_ns: TIMEOUT,
            at_once: true,
            passes: 1,
            failures: 1,
        })
    }

    /// With a unit; anything else is the default.
    fn interval(&self, report: &mut Report) -> u64 {
        let Some(chosen) = self.get("healthcheck.interval") else { return INTERVAL };
        match words::duration(chosen.value) {
            Some(interval @ words::Duration::Text(_)) if interval.is_positive() => interval.nanoseconds(),
            _ => {
                let message = "this is not a duration with a unit such as 10s, so it is 30s, as by default";
                report.warning(&self.object, chosen.tag, message);
                INTERVAL
            }
        }
    }
}

/// Pairs between `||`, name and value around the first `:`; pairs without it are skipped.
fn headers(text: &str) -> Vec<HeaderLine> {
    let pairs = text.split("||").filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| HeaderLine { name: name.trim().to_owned(), value: value.trim().to_owned() }).collect()
}
