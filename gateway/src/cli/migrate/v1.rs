//! `traefik.toml` of Traefik 1.

use super::draft::{Draft, duration};
use super::shared::{
    access_log, admin, consul_tls, entrypoint_section, keep_alive, listen_address, log_format, log_level, metrics,
    shutdown, trusted, upstream,
};
use super::source::{Fate, Row, Source};
use Fate::{Differs, Unsupported};

/// What only Traefik 1 says.
const TELLTALES: &[&str] = &[
    "consulCatalog",
    "defaultEntryPoints",
    "logLevel",
    "traefikLog",
    "web",
    "lifeCycle",
    "forwardingTimeouts",
    "respondingTimeouts",
    "frontends",
    "backends",
];

const CONSUL: &str = "providers.consul-catalog";
/// The entrypoint of the API, and of frontends, where nothing is said.
const API: &str = "traefik";
const DEFAULT: &str = "http";

pub(super) const ROWS: &[Row] = &[
    ("checkNewVersion", Differs, "Sluice asks nobody for new versions"),
    ("sendAnonymousUsage", Differs, "Sluice reports to nobody"),
    ("providersThrottleDuration", Differs, "changes are taken at once and in batches; there is nothing to set"),
    ("allowMinWeightZero", Differs, "a weight of 0 means 1, as in Traefik without this option"),
    ("insecureSkipVerify", Unsupported, "certificates of https instances are verified"),
    ("rootCAs", Unsupported, "certificates of https instances are verified against the system's authorities"),
    ("idleTimeout", Unsupported, "use respondingTimeouts.idleTimeout"),
    ("retry.", Unsupported, "retries are set where they belong, by the middleware of a route"),
    ("healthcheck.", Unsupported, "the interval is set by each service's tags"),
    ("hostResolver.", Unsupported, "hosts are compared as they are, without DNS"),
    ("acme.", Unsupported, "certificates are files: list them in entrypoints.NAME.tls.certificates"),
    ("cluster.", Unsupported, "gateways share no configuration; each follows Consul by itself"),
    ("tracing.", Unsupported, "there is no tracer to configure"),
    ("metrics.prometheus.", Differs, "metrics are served on [admin], with finer buckets"),
    ("metrics.", Unsupported, "metrics are for Prometheus, at /metrics of [admin]"),
    ("traefikLog.filePath", Differs, "the log goes to the standard error; let the service manager write it to a file"),
    ("traefikLogsFile", Differs, "the log goes to the standard error; let the service manager write it to a file"),
    ("accessLogsFile", Differs, "write `output` into [access-log]"),
    ("accessLog.", Unsupported, "every request has its line, with the fields the format has"),
    ("api.", Differs, "part of [admin]"),
    ("web.auth.", Differs, "[admin] is protected by `token-file`"),
    ("web.", Differs, "part of [admin]"),
    ("ping.", Differs, "/ping is part of [admin]"),
    ("rest.", Unsupported, "services come from providers only"),
    (
        "respondingTimeouts.readTimeout",
        Differs,
        "Sluice limits a request's head by `timeouts.header` and a stalled body by `timeouts.body-idle`",
    ),
    (
        "respondingTimeouts.writeTimeout",
        Differs,
        "Sluice limits a client that takes nothing by `timeouts.send-idle`, not the whole answer",
    ),
    ("consulCatalog.watch", Differs, "Consul is always followed"),
    (
        "consulCatalog.filename",
        Unsupported,
        "templates of the whole configuration have no counterpart: write a router plugin",
    ),
    ("consulCatalog.templateVersion", Unsupported, "templates of the whole configuration have no counterpart"),
    ("consulCatalog.trace", Unsupported, "use `sluice explain` and /api/discovery"),
    ("consulCatalog.debugLogGeneratedTemplate", Unsupported, "use `sluice explain` and /api/discovery"),
    ("consulCatalog.tls.caOptional", Differs, "the agent always shows a certificate"),
    ("file.", Unsupported, "declare the services in services.toml and name it in [providers.file]"),
    ("backends.", Unsupported, "declare the services in services.toml and name it in [providers.file]"),
    ("frontends.", Unsupported, "declare the services in services.toml and name it in [providers.file]"),
    ("tls.", Unsupported, "list certificates in entrypoints.NAME.tls.certificates"),
    ("docker.", Unsupported, "Docker is reached through Registrator and Consul"),
    ("consul.", Unsupported, "Consul's key-value store is not read; its catalog is"),
    ("etcd.", Unsupported, "there is no such provider"),
    ("etcdv3.", Unsupported, "there is no such provider"),
    ("zookeeper.", Unsupported, "there is no such provider"),
    ("boltdb.", Unsupported, "there is no such provider"),
    ("kubernetes.", Unsupported, "there is no such provider"),
    ("mesos.", Unsupported, "there is no such provider"),
    ("marathon.", Unsupported, "there is no such provider"),
    ("rancher.", Unsupported, "there is no such provider"),
    ("ecs.", Unsupported, "there is no such provider"),
    ("dynamodb.", Unsupported, "there is no such provider"),
    ("eureka.", Unsupported, "there is no such provider"),
    ("serviceFabric.", Unsupported, "there is no such provider"),
    ("entryPoints.*.compress", Unsupported, "compress by the tags of a v3 service: middlewares.NAME.compress=true"),
    ("entryPoints.*.redirect.", Unsupported, "redirect by tags of a service: frontend.redirect.*"),
    ("entryPoints.*.auth.", Unsupported, "protect by tags of a service: frontend.auth.*"),
    ("entryPoints.*.whitelist.", Unsupported, "protect by tags of a service: frontend.whiteList.*"),
    ("entryPoints.*.whitelistSourceRange", Unsupported, "protect by tags of a service: frontend.whiteList.sourceRange"),
    ("entryPoints.*.proxyProtocol.", Unsupported, "the PROXY protocol is not spoken"),
    ("entryPoints.*.clientIPStrategy.", Unsupported, "a client's address is that of its socket"),
    ("entryPoints.*.forwardedHeaders.", Differs, "either trustedIPs or insecure counts"),
    ("entryPoints.*.tls.", Unsupported, "only certificates are carried over"),
];

/// Whether a file is Traefik 1's.
pub(super) fn is_v1(source: &Source) -> bool {
    TELLTALES.iter().any(|key| source.has(key))
}

pub(super) fn migrate(source: &mut Source, draft: &mut Draft) {
    let sections = entrypoints(source, draft);
    keep_alive(source, draft, "respondingTimeouts", &sections);
    let api = source.text("api.entryPoint").or_else(|| source.text("ping.entryPoint"));
    let of_api = source.text(&format!("entryPoints.{}.address", api.as_deref().unwrap_or(API)));
    let web = source.text("web.address");
    if let Some(key) = ["api", "web", "ping", "metrics.prometheus"].into_iter().find(|key| source.has(key)) {
        admin(source, draft, key, of_api.as_deref().or(web.as_deref()));
    }
    catalog(source, draft);
    upstream(source, draft, "forwardingTimeouts", "maxIdleConnsPerHost");
    shutdown(source, draft, "lifeCycle");
    let grace = source.text("graceTimeOut").map(duration);
    if source.has("lifeCycle.graceTimeOut") {
        source.note("graceTimeOut", Differs, "lifeCycle.graceTimeOut counts");
    } else {
        draft.set_some("shutdown", "drain", grace);
    }
    let debug = source.flag("debug") == Some(true);
    if debug {
        draft.set("log", "level", "debug");
    } else {
        log_level(source, draft, "logLevel");
    }
    log_format(source, draft, "traefikLog.format");
    access_log(source, draft);
    metrics(source, draft);
    source.note(
        "(forwarded headers)",
        Differs,
        "Traefik 1 believes X-Forwarded-* of every client unless told otherwise, Sluice of none; if proxies stand in front, \
         name them in entrypoints.NAME.trusted-ips",
    );
}

/// Answers the sections it made.
fn entrypoints(source: &mut Source, draft: &mut Draft) -> Vec<String> {
    let names = source.names("entryPoints");
    let defaults = source.list("defaultEntryPoints").unwrap_or_else(|| vec![DEFAULT.to_owned()]);
    let api = API;
    let public: Vec<String> = names.into_iter().filter(|name| !name.eq_ignore_ascii_case(api)).collect();
    let some_are_not = public.iter().any(|name| !defaults.contains(name));
    let mut sections = Vec::new();
    for name in &public {
        let (from, section) = (format!("entryPoints.{name}"), entrypoint_section(name));
        let address = source.text(&format!("{from}.address")).unwrap_or_else(|| ":80".to_owned());
        draft.set_some(&section, "address", listen_address(&address));
        if some_are_not && defaults.contains(name) {
            draft.set(&section, "as-default", true);
        }
        trusted(source, draft, &from, &section);
        tls(source, draft, &from, &section);
        sections.push(section);
    }
    if public.is_empty() {
        draft.set("entrypoints.http", "address", ":80");
        source.note("(entrypoints)", Differs, "none is declared; Traefik listens on :80 as `http` then");
        sections.push("entrypoints.http".to_owned());
    }
    sections
}

fn tls(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let from = format!("{from}.tls");
    if !source.has(&from) {
        return;
    }
    source.take(&from);
    let mut pairs = Vec::new();
    for place in source.names(&format!("{from}.certificates")) {
        let cert = source.text(&format!("{from}.certificates.{place}.certFile"));
        let key = source.text(&format!("{from}.certificates.{place}.keyFile"));
        let pair = cert
            .zip(key)
            .map(|(cert, key)| toml::Table::from_iter([("cert".into(), cert.into()), ("key".into(), key.into())]));
        pairs.extend(pair.map(toml::Value::Table));
    }
    let certificates = (!pairs.is_empty()).then_some(("certificates".to_owned(), toml::Value::Array(pairs)));
    draft.set(section, "tls", toml::Value::Table(certificates.into_iter().collect()));
}

fn catalog(source: &mut Source, draft: &mut Draft) {
    let global = source.list("constraints").unwrap_or_default();
    if !source.has("consulCatalog") {
        return;
    }
    source.take("consulCatalog");
    draft.section(CONSUL);
    for (theirs, ours) in
        [("endpoint", "address"), ("prefix", "prefix"), ("domain", "domain"), ("frontEndRule", "frontend-rule")]
    {
        let value = source.text(&format!("consulCatalog.{theirs}"));
        draft.set_some(CONSUL, ours, value);
    }
    for (theirs, ours) in [("exposedByDefault", "exposed-by-default"), ("stale", "stale")] {
        let value = source.flag(&format!("consulCatalog.{theirs}"));
        draft.set_some(CONSUL, ours, value);
    }
    if source.flag("consulCatalog.strictChecks") == Some(false) {
        draft.set(CONSUL, "strict-checks", vec!["passing", "warning"]);
    }
    let keeps = source.flag("keepTrailingSlash");
    draft.set_some(CONSUL, "keep-trailing-slash", keeps.filter(|keeps| *keeps));
    let own = source.list("consulCatalog.constraints").unwrap_or_default();
    let constraints: Vec<String> = global.into_iter().chain(own).collect();
    draft.set_some(CONSUL, "constraints", (!constraints.is_empty()).then_some(constraints));
    consul_tls(source, draft, "consulCatalog.tls");
}
