//! `traefik.toml` of Traefik 1.

use super::draft::{Draft, duration};
use super::policies;
use super::shared::{
    access_log, admin, consul_tls, entrypoint_section, instances_tls, keep_alive, listen_address, log_format,
    log_level, metrics, proxy_protocol, shutdown, trusted, upstream,
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
    (
        "retry.",
        Differs,
        "say it for an entrypoint: declare a middleware `retry` by the tags of a service and write \
         `steps = [\"NAME@consulcatalog\"]` there",
    ),
    ("healthcheck.", Unsupported, "the interval is set by each service's tags"),
    ("hostResolver.", Unsupported, "hosts are compared as they are, without DNS"),
    ("acme.", Unsupported, "certificates are files: list them in entrypoints.NAME.tls.certificates"),
    ("cluster.", Unsupported, "gateways share no configuration; each follows Consul by itself"),
    ("tracing.", Unsupported, "there is no tracer to configure"),
    ("metrics.prometheus.", Differs, "metrics are served on [admin], with finer buckets"),
    ("metrics.", Unsupported, "metrics are for Prometheus, at /metrics of [admin]"),
    ("traefikLog.filePath", Differs, "the log goes to the standard error; let the service manager write it to a file"),
    ("traefikLogsFile", Differs, "the log goes to the standard error; let the service manager write it to a file"),
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
    (
        "entryPoints.*.compress",
        Differs,
        "declare a middleware by a tag, `traefik.http.middlewares.NAME.compress=true`, and write \
         `steps = [\"NAME@consulcatalog\"]` at the entrypoint",
    ),
    (
        "entryPoints.*.redirect.",
        Differs,
        "declare a middleware `redirectregex` by the tags of a service and write `steps = [\"NAME@consulcatalog\"]` \
         at the entrypoint",
    ),
    ("entryPoints.*.auth.forward.tls.", Unsupported, "an authentication server is believed as the system says"),
    ("entryPoints.*.auth.", Differs, "one kind counts: basic, digest, then forward"),
    ("entryPoints.*.proxyProtocol.", Differs, "either trustedIPs or insecure counts"),
    (
        "entryPoints.*.clientIPStrategy.",
        Unsupported,
        "a client's address is that of its socket; policies have `ipstrategy` for what stands behind proxies",
    ),
    ("entryPoints.*.forwardedHeaders.", Differs, "either trustedIPs or insecure counts"),
    (
        "entryPoints.*.tls.cipherSuites",
        Unsupported,
        "every suite that is spoken is a strong one; there is nothing to set",
    ),
    ("entryPoints.*.tls.", Unsupported, "there is nothing of the kind"),
];

/// Whether a file is Traefik 1's.
pub(super) fn is_v1(source: &Source) -> bool {
    TELLTALES.iter().any(|key| source.has(key))
}

pub(super) fn migrate(source: &mut Source, draft: &mut Draft) {
    let sections = entrypoints(source, draft);
    keep_alive(source, draft, "respondingTimeouts", &sections);
    if source.has("respondingTimeouts.idleTimeout") {
        source.note_if_there("idleTimeout", Differs, "respondingTimeouts.idleTimeout counts");
    } else if let Some(idle) = source.text("idleTimeout") {
        for section in &sections {
            draft.set(&format!("{section}.timeouts"), "keep-alive", duration(idle.clone()));
        }
    }
    let api = source.text("api.entryPoint").or_else(|| source.text("ping.entryPoint"));
    let of_api = source.text(&format!("entryPoints.{}.address", api.as_deref().unwrap_or(API)));
    let web = source.text("web.address");
    if let Some(key) = ["api", "web", "ping", "metrics.prometheus"].into_iter().find(|key| source.has(key)) {
        admin(source, draft, key, of_api.as_deref().or(web.as_deref()));
    }
    catalog(source, draft);
    upstream(source, draft, "forwardingTimeouts", "maxIdleConnsPerHost");
    instances_tls(source, draft, "insecureSkipVerify", "rootCAs");
    shutdown(source, draft, "lifeCycle");
    let grace = source.text("graceTimeOut").map(duration);
    if source.has("lifeCycle.graceTimeOut") {
        source.note_if_there("graceTimeOut", Differs, "lifeCycle.graceTimeOut counts");
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
    if !source.has("accessLog.filePath") {
        let file = source.text("accessLogsFile");
        draft.set_some("access-log", "output", file);
    }
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
        proxy_protocol(source, draft, &from, &section);
        redirect(source, draft, &from, &section);
        tls(source, draft, &from, &section);
        policies::of_entrypoint(source, draft, &from, name);
        sections.push(section);
    }
    if public.is_empty() {
        draft.set("entrypoints.http", "address", ":80");
        source.note("(entrypoints)", Differs, "none is declared; Traefik listens on :80 as `http` then");
        sections.push("entrypoints.http".to_owned());
    }
    sections
}

/// To another entrypoint; redirects by pattern have no place in the file.
fn redirect(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let Some(to) = source.text(&format!("{from}.redirect.entryPoint")) else { return };
    let permanent = source.flag(&format!("{from}.redirect.permanent")) == Some(true);
    let options = [("to".to_owned(), to.into()), ("permanent".to_owned(), permanent.into())];
    draft.set(section, "redirect", toml::Table::from_iter(options));
}

fn tls(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let from = format!("{from}.tls");
    if !source.has(&from) {
        return;
    }
    source.take(&from);
    let mut pairs = Vec::new();
    for place in source.names(&format!("{from}.certificates")) {
        pairs.extend(pair(source, &format!("{from}.certificates.{place}"), false));
    }
    pairs.extend(pair(source, &format!("{from}.defaultCertificate"), true));
    let mut options = toml::Table::new();
    if !pairs.is_empty() {
        options.insert("certificates".to_owned(), toml::Value::Array(pairs));
    }
    match source.text(&format!("{from}.minVersion")).as_deref() {
        Some("VersionTLS13") => drop(options.insert("min-version".to_owned(), "1.3".into())),
        Some("VersionTLS12") => drop(options.insert("min-version".to_owned(), "1.2".into())),
        Some(_) => source.note(&format!("{from}.minVersion"), Differs, "the oldest version that is spoken is 1.2"),
        None => {}
    }
    if source.flag(&format!("{from}.sniStrict")) == Some(true) {
        options.insert("strict-sni".to_owned(), true.into());
    }
    if let Some(auth) = client_auth(source, &from) {
        options.insert("client-auth".to_owned(), auth.into());
    }
    draft.set(section, "tls", options);
}

fn pair(source: &mut Source, from: &str, default: bool) -> Option<toml::Value> {
    let cert = source.text(&format!("{from}.certFile"));
    let key = source.text(&format!("{from}.keyFile"));
    let (cert, key) = cert.zip(key)?;
    let mut pair = toml::Table::from_iter([("cert".to_owned(), cert.into()), ("key".to_owned(), key.into())]);
    if default {
        pair.insert("default".to_owned(), true.into());
    }
    Some(pair.into())
}

/// Authorities of clients, under the new name or the deprecated one.
fn client_auth(source: &mut Source, from: &str) -> Option<toml::Table> {
    let deprecated = source.list(&format!("{from}.clientCAFiles"));
    let files = source.list(&format!("{from}.clientCA.files")).or(deprecated)?;
    let optional = source.flag(&format!("{from}.clientCA.optional")) == Some(true);
    let mode = if optional { "optional" } else { "require" };
    Some(toml::Table::from_iter([("ca".to_owned(), files.into()), ("mode".to_owned(), mode.into())]))
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
