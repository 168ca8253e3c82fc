//! Which v1 options are known. Unknown ones are reported and read over.

use super::options::{Options, SHARED, Scope};
use crate::accept::{V1Instance, v1_option};
use crate::report::Report;

/// Options of a frontend or a segment; one that ends in a dot stands for everything below.
const FRONTEND: &[&str] = &[
    "rule",
    "priority",
    "entryPoints",
    "passHostHeader",
    "policies",
    "rateLimit.extractorFunc",
    "rateLimit.rateSet.",
    "auth.headerField",
    "auth.basic",
    "auth.basic.users",
    "auth.basic.usersFile",
    "auth.basic.removeHeader",
    "auth.digest.users",
    "auth.digest.usersFile",
    "auth.digest.removeHeader",
    "auth.forward.address",
    "auth.forward.trustForwardHeader",
    "auth.forward.authResponseHeaders",
    "auth.forward.tls.",
    "whiteList.sourceRange",
    "whiteList.useXForwardedFor",
    "whitelistSourceRange",
    "redirect.entryPoint",
    "redirect.regex",
    "redirect.replacement",
    "redirect.permanent",
    "passTLSClientCert.pem",
    "passTLSClientCert.infos.notAfter",
    "passTLSClientCert.infos.notBefore",
    "passTLSClientCert.infos.sans",
    "passTLSClientCert.infos.subject.country",
    "passTLSClientCert.infos.subject.province",
    "passTLSClientCert.infos.subject.locality",
    "passTLSClientCert.infos.subject.organization",
    "passTLSClientCert.infos.subject.commonName",
    "passTLSClientCert.infos.subject.serialNumber",
    "passTLSClientCert.infos.subject.domainComponent",
    "passTLSClientCert.infos.issuer.country",
    "passTLSClientCert.infos.issuer.province",
    "passTLSClientCert.infos.issuer.locality",
    "passTLSClientCert.infos.issuer.organization",
    "passTLSClientCert.infos.issuer.commonName",
    "passTLSClientCert.infos.issuer.serialNumber",
    "passTLSClientCert.infos.issuer.domainComponent",
    "passTLSCert",
    "headers.customRequestHeaders",
    "headers.customResponseHeaders",
    "headers.SSLProxyHeaders",
    "headers.allowedHosts",
    "headers.hostsProxyHeaders",
    "headers.SSLRedirect",
    "headers.SSLTemporaryRedirect",
    "headers.SSLHost",
    "headers.SSLForceHost",
    "headers.STSSeconds",
    "headers.STSIncludeSubdomains",
    "headers.STSPreload",
    "headers.forceSTSHeader",
    "headers.frameDeny",
    "headers.customFrameOptionsValue",
    "headers.contentTypeNosniff",
    "headers.browserXSSFilter",
    "headers.customBrowserXSSValue",
    "headers.contentSecurityPolicy",
    "headers.publicKey",
    "headers.referrerPolicy",
    "headers.isDevelopment",
    "errors.",
];

/// Options of the service.
const BACKEND: &[&str] = &[
    "weight",
    "loadbalancer",
    "loadbalancer.method",
    "loadbalancer.sticky",
    "loadbalancer.stickiness",
    "loadbalancer.stickiness.cookieName",
    "loadbalancer.stickiness.secure",
    "loadbalancer.stickiness.httpOnly",
    "loadbalancer.stickiness.sameSite",
    "circuitbreaker",
    "circuitbreaker.expression",
    "healthcheck.path",
    "healthcheck.scheme",
    "healthcheck.port",
    "healthcheck.hostname",
    "healthcheck.headers",
    "healthcheck.interval",
    "maxconn.amount",
    "maxconn.extractorfunc",
    "buffering.maxRequestBodyBytes",
    "buffering.memRequestBodyBytes",
    "buffering.maxResponseBodyBytes",
    "buffering.memResponseBodyBytes",
    "buffering.retryExpression",
    // Every frame is passed on at once.
    "responseForwarding.flushInterval",
];

/// Options of each instance, in any letter case.
const OWN: &[&str] = &["enable", "tags", "weight", "protocol", "consulcatalog.connect"];

/// Tags of Traefik's other providers, which people copy.
const FOREIGN: &[(&str, &str)] = &[
    ("port", "the port comes from the catalog"),
    ("portName", "the port comes from the catalog"),
    ("portIndex", "the port comes from the catalog"),
    ("backend", "the service is named as in the catalog"),
    ("domain", "the domain is an option of the provider"),
    ("consulcatalog.canary", "only instances with tags of the v3 dialect are set apart as canaries"),
];

/// The options of a frontend nobody knows.
pub(super) fn report_unknown(scope: &Scope<'_>, object: &str, report: &mut Report) {
    for (name, chosen) in scope.all().filter(|(name, _)| !is_known(FRONTEND, name)) {
        report.warning(object, chosen.tag, unknown(name, FRONTEND));
    }
}

/// Options of the service and tags of other providers.
pub(super) fn report_ignored(options: &Options<'_>, service: &str, report: &mut Report) {
    let object = format!("service {service}");
    for (name, chosen) in options.starting("backend.").filter(|(name, _)| !is_known(BACKEND, name)) {
        report.warning(&object, chosen.tag, unknown(name, BACKEND));
    }
    for (name, reason) in FOREIGN {
        if let Some(chosen) = options.get(name) {
            report.warning(&object, chosen.tag, format!("ignored: {reason}"));
        }
    }
    for (key, chosen) in options.starting("") {
        if key.split_once('.').is_some_and(|(_, rest)| rest.starts_with("frontend.")) {
            report.warning(&object, chosen.tag, "ignored: segments are spelled `frontends.<segment>.<option>`");
        } else if key.starts_with("docker.") {
            report.warning(&object, chosen.tag, "ignored: it is for Traefik's Docker provider");
        } else if !is_ours(key) {
            report.warning(&object, chosen.tag, unknown(key, OWN));
        }
    }
}

/// Whether it is told of elsewhere, if at all.
fn is_ours(key: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(key))
        || FOREIGN.iter().any(|(foreign, _)| *foreign == key)
        || SHARED.iter().any(|start| key.starts_with(start))
}

/// Whether the tags of a service say nothing in either dialect, except whether it is taken at all.
pub(super) fn is_bare(options: &Options<'_>, accepted: &[&V1Instance<'_>], prefix: &str) -> bool {
    let own = ["weight", "backend.weight", "protocol"];
    !SHARED.iter().any(|start| options.starting(start).next().is_some())
        && !accepted.iter().any(|one| own.iter().any(|name| v1_option(&one.tags, prefix, name).is_some()))
}

fn is_known(rows: &[&str], name: &str) -> bool {
    rows.iter().any(|row| if row.ends_with('.') { name.starts_with(row) } else { name == *row })
}

fn unknown(name: &str, rows: &[&str]) -> String {
    match rows.iter().find(|row| row.eq_ignore_ascii_case(name)) {
        Some(row) => format!("unknown option, ignored: v1 options are case-sensitive, write `{row}`"),
        None => "unknown option, ignored".to_owned(),
    }
}
