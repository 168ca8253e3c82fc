//! `traefik.yml` and `traefik.toml` of Traefik 2 and 3.

use super::draft::{Draft, duration};
use super::shared::{
    access_log, admin, consul_tls, entrypoint_section, instances_tls, keep_alive, listen_address, log_format,
    log_level, metrics, proxy_protocol, shutdown, trusted, upstream,
};
use super::source::{Fate, Row, Source};
use Fate::{Differs, Unknown, Unsupported};

const CONSUL: &str = "providers.consul-catalog";
/// The entrypoint of the API where nothing is said.
const API: &str = "traefik";
/// What the configuration allows for the head of a request.
const HEADER_BYTES: std::ops::RangeInclusive<i64> = 8 << 10..=1 << 20;

/// What only Traefik 2 says.
const TELLTALES: &[&str] =
    &["pilot", "experimental.http3", "providers.consulCatalog.namespace", "providers.marathon", "providers.rancher"];

pub(super) const ROWS: &[Row] = &[
    ("global.checkNewVersion", Differs, "Sluice asks nobody for new versions"),
    ("global.sendAnonymousUsage", Differs, "Sluice reports to nobody"),
    (
        "providers.providersThrottleDuration",
        Differs,
        "changes are taken at once and in batches; there is nothing to set",
    ),
    ("providers.precedence", Unsupported, "equal priorities are settled by name"),
    ("providers.consulCatalog.refreshInterval", Differs, "Consul is followed by blocking queries, without an interval"),
    ("providers.consulCatalog.watch", Differs, "Consul is always followed"),
    ("providers.consulCatalog.cache", Differs, "the agent's cache is not used: answers come from blocking queries"),
    (
        "providers.file.",
        Unsupported,
        "declare the services in services.toml, with tags, and name it in [providers.file]",
    ),
    ("providers.docker.", Unsupported, "Docker is reached through Registrator and Consul"),
    ("providers.", Unsupported, "there is no such provider"),
    ("certificatesResolvers.", Unsupported, "certificates are files: list them in entrypoints.NAME.tls.certificates"),
    (
        "experimental.plugins.",
        Unsupported,
        "Traefik's plugins do not run here; `sluice plugin new` begins one that does",
    ),
    (
        "experimental.localPlugins.",
        Unsupported,
        "Traefik's plugins do not run here; `sluice plugin new` begins one that does",
    ),
    ("experimental.", Unsupported, "there is no such experiment"),
    ("pilot.", Unsupported, "the service has ended"),
    ("hub.", Unsupported, "there is no hub"),
    ("spiffe.", Unsupported, "instances are not known by SPIFFE ids"),
    ("ocsp.", Unsupported, "OCSP answers are not stapled"),
    ("hostResolver.", Unsupported, "hosts are compared as they are, without DNS"),
    ("tracing.", Unsupported, "there is no tracer to configure"),
    ("serversTransport.spiffe.", Unsupported, "instances are not known by SPIFFE ids"),
    (
        "serversTransport.",
        Differs,
        "[upstream] and [transports.default] are for all instances: write there what differs",
    ),
    (
        "tcpServersTransport.",
        Unsupported,
        "connections to instances of TCP services are made as the service's tags say",
    ),
    ("metrics.prometheus.manualRouting", Differs, "metrics are served on [admin] only"),
    ("metrics.prometheus.entryPoint", Differs, "metrics are served on [admin]"),
    ("metrics.prometheus.", Differs, "labels and buckets are fixed: see README"),
    ("metrics.", Unsupported, "metrics are for Prometheus, at /metrics of [admin]"),
    ("log.filePath", Differs, "the log goes to the standard error; let the service manager write it to a file"),
    ("log.", Differs, "the log goes to the standard error; rotation and colours are the service manager's"),
    ("accessLog.", Unsupported, "every request has its line, with the fields the format has"),
    ("api.", Differs, "part of [admin]"),
    ("ping.terminatingStatusCode", Differs, "/ready answers 503 while the gateway drains"),
    ("ping.", Differs, "/ping is part of [admin]"),
    ("core.", Unsupported, "there is nothing of the kind"),
    ("entryPoints.*.allowACMEByPass", Unsupported, "there is no ACME"),
    ("entryPoints.*.reusePort", Differs, "every worker has a socket of its own with SO_REUSEPORT"),
    ("entryPoints.*.proxyProtocol.", Differs, "either trustedIPs or insecure counts"),
    (
        "entryPoints.*.forwardedHeaders.notAppendXForwardedFor",
        Unsupported,
        "the client's address is always added to X-Forwarded-For",
    ),
    ("entryPoints.*.forwardedHeaders.connection", Differs, "headers that Connection lists are never passed on"),
    ("entryPoints.*.forwardedHeaders.", Differs, "either trustedIPs or insecure counts"),
    (
        "entryPoints.*.transport.respondingTimeouts.readTimeout",
        Differs,
        "Sluice limits a request's head by `timeouts.header` and a stalled body by `timeouts.body-idle`",
    ),
    (
        "entryPoints.*.transport.respondingTimeouts.writeTimeout",
        Differs,
        "Sluice limits a client that takes nothing by `timeouts.send-idle`, not the whole answer",
    ),
    (
        "entryPoints.*.transport.lifeCycle.",
        Differs,
        "[shutdown] is for all entrypoints: the longest times are carried over",
    ),
    (
        "entryPoints.*.http.redirections.entryPoint.priority",
        Differs,
        "the redirect comes before every route of the entrypoint",
    ),
    ("entryPoints.*.http.sanitizePath", Differs, "paths are always brought into one form"),
    (
        "entryPoints.*.http.encodedCharacters.allowEncodedNullCharacter",
        Differs,
        "a path with an encoded null character is always refused",
    ),
    (
        "entryPoints.*.http.tls.options",
        Differs,
        "Traefik declares them in its dynamic configuration: write min-version, client-auth and strict-sni into the \
         entrypoint's `tls`, or [tls.options.NAME] for routers that name it",
    ),
    (
        "entryPoints.*.http.tls.",
        Unsupported,
        "certificates are files: list them in `tls.certificates` of the entrypoint, or in [tls] for all",
    ),
    ("entryPoints.*.http.", Unsupported, "there is nothing of the kind"),
    ("entryPoints.*.http3.", Unsupported, "HTTP/3 is not spoken"),
    ("entryPoints.*.udp.", Unsupported, "UDP is not spoken"),
    ("entryPoints.*.observability.", Unsupported, "there is no tracer to configure"),
];

/// The syntax of rules without one of their own: v2 in files of Traefik 2.
pub(super) fn is_v2(source: &Source) -> bool {
    TELLTALES.iter().any(|key| source.has(key))
}

pub(super) fn migrate(source: &mut Source, draft: &mut Draft, v2: bool) {
    let mut of_api = None;
    for name in source.names("entryPoints") {
        if name.eq_ignore_ascii_case(API) {
            of_api = source.text(&format!("entryPoints.{name}.address"));
        } else {
            entrypoint(source, draft, &name);
        }
    }
    if source.names("entryPoints").iter().all(|name| name.eq_ignore_ascii_case(API)) {
        draft.set("entrypoints.http", "address", ":80");
        source.note("(entrypoints)", Differs, "none is declared; Traefik listens on :80 as `http` then");
    }
    if let Some(key) = ["api", "ping", "metrics.prometheus"].into_iter().find(|key| source.has(key)) {
        admin(source, draft, key, of_api.as_deref());
    }
    catalog(source, draft, v2);
    upstream(source, draft, "serversTransport.forwardingTimeouts", "serversTransport.maxIdleConnsPerHost");
    instances_tls(source, draft, "serversTransport.insecureSkipVerify", "serversTransport.rootCAs");
    longest_shutdown(source, draft);
    log_level(source, draft, "log.level");
    log_format(source, draft, "log.format");
    access_log(source, draft);
    metrics(source, draft);
}

fn entrypoint(source: &mut Source, draft: &mut Draft, name: &str) {
    let (from, section) = (format!("entryPoints.{name}"), entrypoint_section(name));
    let address = source.text(&format!("{from}.address")).unwrap_or_default();
    let Some(address) = listen_address(&address) else {
        source.note(&format!("{from}.address"), Unsupported, "UDP is not spoken; the entrypoint is left out");
        return;
    };
    draft.set(&section, "address", address);
    let as_default = source.flag(&format!("{from}.asDefault"));
    draft.set_some(&section, "as-default", as_default.filter(|default| *default));
    trusted(source, draft, &from, &section);
    proxy_protocol(source, draft, &from, &section);
    redirections(source, draft, &from, &section);
    middlewares(source, draft, &from, &section);
    encoded_characters(source, draft, &from, &section);
    if source.has(&format!("{from}.http.tls")) {
        draft.set(&section, "tls", toml::Table::new());
        let text = "Traefik takes certificates from its dynamic configuration; list them in `tls.certificates`, until then \
                    a self-signed one is served";
        source.note(&format!("{from}.http.tls"), Differs, text);
    }
    let encode = source.flag(&format!("{from}.http.encodeQuerySemicolons"));
    draft.set_some(&section, "encode-query-semicolons", encode.filter(|encode| *encode));
    limits(source, draft, &from, &section);
    for (theirs, ours) in [("accessLogs", "access-logs"), ("metrics", "metrics")] {
        let noted = source.flag(&format!("{from}.observability.{theirs}"));
        draft.set_some(&format!("{section}.observability"), ours, noted.filter(|noted| !noted));
    }
    let timeouts = format!("{from}.transport.respondingTimeouts");
    keep_alive(source, draft, &timeouts, std::slice::from_ref(&section));
    let age = source.text(&format!("{from}.transport.keepAliveMaxTime")).map(duration);
    draft.set_some(&format!("{section}.timeouts"), "keep-alive-age", age);
}

fn redirections(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let from = format!("{from}.http.redirections.entryPoint");
    let Some(to) = source.text(&format!("{from}.to")) else { return };
    let mut options = toml::Table::from_iter([("to".to_owned(), to.into())]);
    let scheme = source.text(&format!("{from}.scheme")).filter(|scheme| scheme != "https");
    options.extend(scheme.map(|scheme| ("scheme".to_owned(), scheme.into())));
    if source.flag(&format!("{from}.permanent")) == Some(false) {
        options.insert("permanent".to_owned(), false.into());
    }
    draft.set(section, "redirect", options);
}

/// Of the catalog, where they do not say whose they are.
fn middlewares(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let key = format!("{from}.http.middlewares");
    let Some(names) = source.list(&key) else { return };
    let qualified = |name: String| if name.contains('@') { name } else { format!("{name}@consulcatalog") };
    draft.set(section, "steps", names.into_iter().map(qualified).collect::<Vec<_>>());
    let text = "carried over to `steps`; those `@file` have to be declared by the tags of a service in services.toml. The \
                entrypoint answers nothing while one is missing";
    source.note(&key, Differs, text);
}

fn encoded_characters(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    for (theirs, ours) in [
        ("allowEncodedSlash", "allow-encoded-slash"),
        ("allowEncodedBackSlash", "allow-encoded-back-slash"),
        ("allowEncodedSemicolon", "allow-encoded-semicolon"),
        ("allowEncodedPercent", "allow-encoded-percent"),
        ("allowEncodedQuestionMark", "allow-encoded-question-mark"),
        ("allowEncodedHash", "allow-encoded-hash"),
    ] {
        let allowed = source.flag(&format!("{from}.http.encodedCharacters.{theirs}"));
        draft.set_some(&format!("{section}.encoded-characters"), ours, allowed);
    }
}

fn limits(source: &mut Source, draft: &mut Draft, from: &str, section: &str) {
    let number = |source: &mut Source, key: &str| source.text(&format!("{from}.{key}"))?.parse::<i64>().ok();
    let section = format!("{section}.limits");
    let streams = number(source, "http2.maxConcurrentStreams");
    draft.set_some(&section, "h2-streams", streams);
    let requests = number(source, "transport.keepAliveMaxRequests");
    draft.set_some(&section, "keep-alive-requests", requests);
    if let Some(bytes) = number(source, "http.maxHeaderBytes") {
        let allowed = bytes.clamp(*HEADER_BYTES.start(), *HEADER_BYTES.end());
        draft.set(&section, "header-bytes", allowed);
        if allowed != bytes {
            let text = format!("{allowed} instead of {bytes}: the limit is from 8 KiB to 1 MiB");
            source.note(&format!("{from}.http.maxHeaderBytes"), Differs, text);
        }
    }
}

/// Traefik has one for each entrypoint; of the ones that are written, the first counts.
fn longest_shutdown(source: &mut Source, draft: &mut Draft) {
    let named = source.names("entryPoints").into_iter().map(|name| format!("entryPoints.{name}.transport.lifeCycle"));
    if let Some(life_cycle) = named.into_iter().find(|key| source.has(key)) {
        shutdown(source, draft, &life_cycle);
    }
}

fn catalog(source: &mut Source, draft: &mut Draft, v2: bool) {
    let from = "providers.consulCatalog";
    if !source.has(from) {
        return;
    }
    source.take(from);
    draft.section(CONSUL);
    for (theirs, ours) in [
        ("endpoint.address", "address"),
        ("endpoint.datacenter", "datacenter"),
        ("prefix", "prefix"),
        ("defaultRule", "default-rule"),
        ("constraints", "constraints"),
        ("namespace", "namespace"),
        ("serviceName", "service-name"),
        ("endpoint.httpAuth.username", "username"),
    ] {
        let value = source.text(&format!("{from}.{theirs}"));
        draft.set_some(CONSUL, ours, value);
    }
    let wait = source.text(&format!("{from}.endpoint.endpointWaitTime")).map(duration);
    draft.set_some(CONSUL, "wait", wait);
    for (theirs, ours) in [
        ("exposedByDefault", "exposed-by-default"),
        ("stale", "stale"),
        ("requireConsistent", "require-consistent"),
        ("connectAware", "connect-aware"),
        ("connectByDefault", "connect-by-default"),
    ] {
        let value = source.flag(&format!("{from}.{theirs}"));
        draft.set_some(CONSUL, ours, value);
    }
    let checks = source.list(&format!("{from}.strictChecks"));
    draft.set_some(CONSUL, "strict-checks", checks);
    match source.list(&format!("{from}.namespaces")).as_deref() {
        Some([one]) => draft.set(CONSUL, "namespace", one.as_str()),
        Some([_, _, ..]) => {
            let text = "one gateway follows one namespace; run one for each";
            source.note(&format!("{from}.namespaces"), Unsupported, text);
        }
        _ => {}
    }
    rule_syntax(source, draft, v2);
    endpoint(source, draft, &format!("{from}.endpoint"));
}

fn rule_syntax(source: &mut Source, draft: &mut Draft, v2: bool) {
    let written = source.text("core.defaultRuleSyntax");
    let syntax = written.as_deref().unwrap_or(if v2 { "v2" } else { "v3" });
    match syntax {
        "v3" => {}
        "v2" => draft.set(CONSUL, "rule-syntax", "v2"),
        other => source.note("core.defaultRuleSyntax", Unknown, format!("`{other}` is neither v2 nor v3")),
    }
}

fn endpoint(source: &mut Source, draft: &mut Draft, from: &str) {
    let tls = format!("{from}.tls");
    if source.has(&tls) {
        consul_tls(source, draft, &tls);
        source.take(&format!("{from}.scheme"));
    } else {
        let scheme = source.text(&format!("{from}.scheme"));
        draft.set_some(CONSUL, "scheme", scheme);
    }
    for (secret, key, file, what) in [
        ("token", "token-file", "consul.token", "token"),
        ("httpAuth.password", "password-file", "consul.password", "password"),
    ] {
        let secret = format!("{from}.{secret}");
        if source.text(&secret).is_some() {
            draft.set(CONSUL, key, file);
            source.note(&secret, Differs, format!("put the {what} into the file {file}; it is not copied"));
        }
    }
}
