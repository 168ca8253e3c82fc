//! `loadbalancer.healthcheck`, `.passivehealthcheck` and `.outlierejection`.

use sluice_plugin_sdk::router::{CheckProtocol, HeaderLine, HealthCheck, OutlierEjection, PassiveCheck};

use super::services::scheme;
use crate::report::Problem;
use crate::tags::tree::Node;

const SECOND: u64 = 1_000_000_000;

/// Defaults of Traefik's.
const INTERVAL: u64 = 30 * SECOND;
const TIMEOUT: u64 = 5 * SECOND;
const FAILURE_WINDOW: u64 = 10 * SECOND;

/// How targets are asked.
///
/// # Errors
/// A mode, scheme, port or status there is none of, or a path that leads elsewhere.
pub(super) fn active(node: &Node) -> Result<HealthCheck, Problem> {
    let text = |name: &str| node.text(name).filter(|text| !text.is_empty());
    let wrong = |name: &str, message: String| Problem::new(node.tag_of(name), message);
    let protocol = match text("mode").unwrap_or("http") {
        "http" => CheckProtocol::Http,
        "grpc" => CheckProtocol::Grpc,
        "tcp" => CheckProtocol::Tcp,
        other => return Err(wrong("mode", format!("mode `{other}` is none of http, grpc, tcp"))),
    };
    let path = text("path").unwrap_or("/");
    if path.contains("://") {
        return Err(wrong("path", format!("path `{path}` has to be without scheme and host")));
    }
    let interval = positive(node, "interval").unwrap_or(INTERVAL);
    // Traefik's checks decide by one result; its vocabulary knows no tcp, so that one is ours.
    let (passes, failures) = if protocol == CheckProtocol::Tcp { (2, 3) } else { (1, 1) };
    Ok(HealthCheck {
        protocol,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        method: text("method").unwrap_or("GET").to_ascii_uppercase(),
        status: in_range(node, "status", 100, 599)?,
        headers: node.below("headers").iter().map(header).collect(),
        host: text("hostname").unwrap_or_default().to_owned(),
        follow_redirects: node.flag("followredirects").unwrap_or(true),
        send: String::new(),
        expect: String::new(),
        scheme: text("scheme").map(scheme).transpose().map_err(|message| wrong("scheme", message))?,
        port: in_range(node, "port", 1, u16::MAX)?,
        interval_ns: interval,
        unhealthy_interval_ns: positive(node, "unhealthyinterval").unwrap_or(interval),
        timeout_ns: positive(node, "timeout").unwrap_or(TIMEOUT),
        at_once: false,
        passes: count(node, "passes").unwrap_or(passes),
        failures: count(node, "failures").unwrap_or(failures),
    })
}

/// How targets of TCP services are asked: by a connection, and by what is said on it.
///
/// # Errors
/// A port there is none of.
pub(super) fn connection(node: &Node) -> Result<HealthCheck, Problem> {
    let text = |name: &str| node.text(name).unwrap_or_default().to_owned();
    let (send, expect) = (text("send"), text("expect"));
    Ok(HealthCheck { protocol: CheckProtocol::Tcp, send, expect, passes: 1, failures: 1, ..active(node)? })
}

/// Failures of requests as Traefik counts them.
pub(super) fn passive(node: &Node) -> PassiveCheck {
    PassiveCheck {
        window_ns: positive(node, "failurewindow").unwrap_or(FAILURE_WINDOW),
        failures: count(node, "maxfailedattempts").unwrap_or(1),
    }
}

/// Failures of requests as Envoy counts them, with its defaults.
pub(super) fn outliers(node: &Node) -> OutlierEjection {
    let percent = node.integer("maxpercent").map_or(10, |percent| percent.clamp(0, 100));
    OutlierEjection {
        failures: count(node, "failures").unwrap_or(5),
        base_ns: positive(node, "basetime").unwrap_or(30 * SECOND),
        most_ns: positive(node, "maxtime").unwrap_or(300 * SECOND),
        most_percent: u32::try_from(percent).unwrap_or(10),
    }
}

fn header(node: &Node) -> HeaderLine {
    HeaderLine { name: node.name.clone(), value: node.value.clone().unwrap_or_default() }
}

/// A duration that is longer than nothing.
fn positive(node: &Node, name: &str) -> Option<u64> {
    node.nanoseconds(name).filter(|duration| *duration > 0)
}

fn count(node: &Node, name: &str) -> Option<u32> {
    node.integer(name).and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)
}

/// An integer from `first` to `last`; 0 is as if it were not there.
fn in_range(node: &Node, name: &str, first: u16, last: u16) -> Result<Option<u16>, Problem> {
    let Some(number) = node.integer(name).filter(|number| *number != 0) else { return Ok(None) };
    match u16::try_from(number) {
        Ok(number) if (first..=last).contains(&number) => Ok(Some(number)),
        _ => Err(Problem::new(node.tag_of(name), format!("{number} is not from {first} to {last}"))),
    }
}
