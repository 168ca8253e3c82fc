//! What both generations of Traefik's configuration have in common.

use super::draft::{Draft, duration, key};
use super::source::{Fate, Source};

/// Where the admin API goes when nothing else is said.
const ADMIN_PORT: &str = "8080";

/// `host:port` of an entrypoint without the protocol Traefik allows behind it; none for UDP.
pub(super) fn listen_address(written: &str) -> Option<String> {
    match written.rsplit_once('/') {
        Some((_, "udp")) => None,
        Some((address, "tcp")) => Some(address.to_owned()),
        _ => Some(written.to_owned()),
    }
}

/// `[admin]` on loopback: Traefik serves API, dashboard, ping and metrics on one entrypoint by default, to everybody.
pub(super) fn admin(source: &mut Source, draft: &mut Draft, key: &str, address: Option<&str>) {
    let port = address.and_then(|address| address.rsplit_once(':')).map_or(ADMIN_PORT, |(_, port)| port);
    draft.set("admin", "address", format!("127.0.0.1:{port}"));
    source.note(
        key,
        Fate::Differs,
        format!(
            "API, dashboard, /ping, /ready and /metrics are on [admin], on loopback and port {port}; for another address set \
             `address` and `token-file` there"
        ),
    );
}

/// Traefik's levels; the two above error end the process there.
pub(super) fn log_level(source: &mut Source, draft: &mut Draft, key: &str) {
    let Some(level) = source.text(key) else { return };
    let level = match level.to_ascii_lowercase().as_str() {
        "fatal" | "panic" => "error".to_owned(),
        "warning" => "warn".to_owned(),
        other => other.to_owned(),
    };
    draft.set("log", "level", level);
}

pub(super) fn log_format(source: &mut Source, draft: &mut Draft, key: &str) {
    match source.text(key).as_deref() {
        Some("json") => draft.set("log", "format", "json"),
        Some("common" | "text") | None => {}
        Some(other) => source.note(key, Fate::Unknown, format!("`{other}` is neither common nor json")),
    }
}

pub(super) fn access_log(source: &mut Source, draft: &mut Draft) {
    if !source.has("accessLog") {
        return;
    }
    source.take("accessLog");
    draft.section("access-log");
    let file = source.text("accessLog.filePath");
    draft.set_some("access-log", "output", file);
    match source.text("accessLog.format").as_deref() {
        Some("json") => draft.set("access-log", "format", "json"),
        Some("common") | None => {}
        Some(other) => {
            let text = format!("`{other}` is written as the common format with Traefik's additions");
            source.note("accessLog.format", Fate::Differs, text);
        }
    }
}

/// `[metrics]`: the names of Traefik's metrics, so that dashboards go on working.
pub(super) fn metrics(source: &mut Source, draft: &mut Draft) {
    if source.has("metrics.prometheus") {
        draft.set("metrics", "prefix", "traefik");
        let text = "served at /metrics of [admin]; the names begin with `traefik` as before, buckets are finer";
        source.note("metrics.prometheus", Fate::Differs, text);
    }
}

/// Timeouts and the pool towards instances.
pub(super) fn upstream(source: &mut Source, draft: &mut Draft, timeouts: &str, pool: &str) {
    let mut copy = |from: String, to: &str| {
        let value = source.text(&from).map(duration);
        draft.set_some("upstream", to, value);
    };
    copy(format!("{timeouts}.dialTimeout"), "connect-timeout");
    copy(format!("{timeouts}.responseHeaderTimeout"), "response-timeout");
    copy(format!("{timeouts}.idleConnTimeout"), "idle-timeout");
    let idle = source.text(pool).and_then(|count| count.parse::<i64>().ok());
    draft.set_some("upstream", "max-idle-per-instance", idle.map(|count| count.clamp(0, 65_535)));
}

/// `[shutdown]`, wherever Traefik keeps it.
pub(super) fn shutdown(source: &mut Source, draft: &mut Draft, life_cycle: &str) {
    let accept = source.text(&format!("{life_cycle}.requestAcceptGraceTimeout")).map(duration);
    let drain = source.text(&format!("{life_cycle}.graceTimeOut")).map(duration);
    draft.set_some("shutdown", "pre-stop", accept);
    draft.set_some("shutdown", "drain", drain);
}

/// Who may say where a request came from.
pub(super) fn trusted(source: &mut Source, draft: &mut Draft, from: &str, to: &str) {
    let trusted = source.list(&format!("{from}.forwardedHeaders.trustedIPs"));
    let everybody = source.flag(&format!("{from}.forwardedHeaders.insecure")) == Some(true);
    if everybody {
        draft.set(to, "trusted-ips", vec!["0.0.0.0/0", "::/0"]);
        let text = "every client can pretend to be another one; better name your proxies in `trusted-ips`";
        source.note(&format!("{from}.forwardedHeaders.insecure"), Fate::Differs, text);
    } else {
        draft.set_some(to, "trusted-ips", trusted);
    }
}

/// The part of an entrypoint's timeouts that means the same.
pub(super) fn keep_alive(source: &mut Source, draft: &mut Draft, from: &str, sections: &[String]) {
    let Some(idle) = source.text(&format!("{from}.idleTimeout")) else { return };
    for section in sections {
        draft.set(&format!("{section}.timeouts"), "keep-alive", duration(idle.clone()));
    }
}

/// The TLS keys of a Consul agent.
pub(super) fn consul_tls(source: &mut Source, draft: &mut Draft, from: &str) {
    if !source.has(from) {
        return;
    }
    let section = "providers.consul-catalog";
    source.take(from);
    draft.set(section, "scheme", "https");
    for (theirs, ours) in [("ca", "ca"), ("cert", "cert"), ("key", "key")] {
        let path = format!("{from}.{theirs}");
        let value = source.text(&path);
        if value.as_deref().is_some_and(|value| value.contains("-----BEGIN")) {
            draft.set(section, ours, format!("consul-{theirs}.pem"));
            source.note(&path, Fate::Differs, format!("put what it says into the file consul-{theirs}.pem"));
        } else {
            draft.set_some(section, ours, value);
        }
    }
    let unverified = source.flag(&format!("{from}.insecureSkipVerify"));
    draft.set_some(section, "insecure-skip-verify", unverified.filter(|skip| *skip));
}

/// The section of an entrypoint.
pub(super) fn entrypoint_section(name: &str) -> String {
    format!("entrypoints.{}", key(name))
}

/// Load balancers that say who the client is before its first byte.
pub(super) fn proxy_protocol(source: &mut Source, draft: &mut Draft, from: &str, to: &str) {
    let from = format!("{from}.proxyProtocol");
    let trusted = source.list(&format!("{from}.trustedIPs"));
    let everybody = source.flag(&format!("{from}.insecure")) == Some(true);
    let trusted = if everybody { Some(vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()]) } else { trusted };
    if let Some(trusted) = trusted {
        let options = toml::Table::from_iter([("trusted-ips".to_owned(), trusted.into())]);
        draft.set(to, "proxy-protocol", options);
        let text = "those who are trusted have to speak it, in version 1 or 2; others are served as they are";
        let key = if everybody { "insecure" } else { "trustedIPs" };
        source.note(&format!("{from}.{key}"), Fate::Differs, text);
    }
}

/// How TLS is spoken to instances.
pub(super) fn instances_tls(source: &mut Source, draft: &mut Draft, unverified: &str, authorities: &str) {
    let section = "transports.default";
    let skip = source.flag(unverified).filter(|skip| *skip);
    draft.set_some(section, "insecure-skip-verify", skip);
    match source.list(authorities).as_deref() {
        Some([one]) if !one.contains("-----BEGIN") => draft.set(section, "ca", one.as_str()),
        Some([_, ..]) => {
            draft.set(section, "ca", "instances-ca.pem");
            source.note(authorities, Fate::Differs, "put all of them into the file instances-ca.pem");
        }
        _ => {}
    }
}
