//! Which v1 options are known, and what becomes of those that cannot be honoured.
//!
//! An option that protects something costs the frontend then: serving without it would open a door. Unknown ones are
//! reported and read over.

use std::fmt::Display;

use super::options::{Options, SHARED, Scope};
use crate::accept::{V1Instance, v1_option};
use crate::report::{Problem, Report};
use crate::tags::words;

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Support {
    Used,
    /// The frontend is left out when it is `true`.
    ProtectsIfTrue,
}

use Support::{ProtectsIfTrue, Used};

/// Options of a frontend or a segment; one that ends in a dot stands for everything below. First match counts.
const FRONTEND: &[(&str, Support)] = &[
    ("rule", Used),
    ("priority", Used),
    ("entryPoints", Used),
    ("passHostHeader", Used),
    ("policies", Used),
    ("rateLimit.extractorFunc", Used),
    ("rateLimit.rateSet.", Used),
    ("auth.headerField", Used),
    ("auth.basic", Used),
    ("auth.basic.users", Used),
    ("auth.basic.usersFile", Used),
    ("auth.basic.removeHeader", Used),
    ("auth.digest.users", Used),
    ("auth.digest.usersFile", Used),
    ("auth.digest.removeHeader", Used),
    ("auth.forward.address", Used),
    ("auth.forward.trustForwardHeader", Used),
    ("auth.forward.authResponseHeaders", Used),
    ("auth.forward.tls.", Used),
    ("whiteList.sourceRange", Used),
    ("whiteList.useXForwardedFor", Used),
    ("whitelistSourceRange", Used),
    ("redirect.entryPoint", Used),
    ("redirect.regex", Used),
    ("redirect.replacement", Used),
    ("redirect.permanent", Used),
    ("passTLSClientCert.pem", Used),
    ("passTLSClientCert.infos.notAfter", Used),
    ("passTLSClientCert.infos.notBefore", Used),
    ("passTLSClientCert.infos.sans", Used),
    ("passTLSClientCert.infos.subject.country", Used),
    ("passTLSClientCert.infos.subject.province", Used),
    ("passTLSClientCert.infos.subject.locality", Used),
    ("passTLSClientCert.infos.subject.organization", Used),
    ("passTLSClientCert.infos.subject.commonName", Used),
    ("passTLSClientCert.infos.subject.serialNumber", Used),
    ("passTLSClientCert.infos.subject.domainComponent", Used),
    ("passTLSClientCert.infos.issuer.country", Used),
    ("passTLSClientCert.infos.issuer.province", Used),
    ("passTLSClientCert.infos.issuer.locality", Used),
    ("passTLSClientCert.infos.issuer.organization", Used),
    ("passTLSClientCert.infos.issuer.commonName", Used),
    ("passTLSClientCert.infos.issuer.serialNumber", Used),
    ("passTLSClientCert.infos.issuer.domainComponent", Used),
    ("passTLSCert", ProtectsIfTrue),
    ("headers.customRequestHeaders", Used),
    ("headers.customResponseHeaders", Used),
    ("headers.SSLProxyHeaders", Used),
    ("headers.allowedHosts", Used),
    ("headers.hostsProxyHeaders", Used),
    ("headers.SSLRedirect", Used),
    ("headers.SSLTemporaryRedirect", Used),
    ("headers.SSLHost", Used),
    ("headers.SSLForceHost", Used),
    ("headers.STSSeconds", Used),
    ("headers.STSIncludeSubdomains", Used),
    ("headers.STSPreload", Used),
    ("headers.forceSTSHeader", Used),
    ("headers.frameDeny", Used),
    ("headers.customFrameOptionsValue", Used),
    ("headers.contentTypeNosniff", Used),
    ("headers.browserXSSFilter", Used),
    ("headers.customBrowserXSSValue", Used),
    ("headers.contentSecurityPolicy", Used),
    ("headers.publicKey", Used),
    ("headers.referrerPolicy", Used),
    ("headers.isDevelopment", Used),
    ("errors.", Used),
];

/// Options of the service.
const BACKEND: &[(&str, Support)] = &[
    ("weight", Used),
    ("loadbalancer", Used),
    ("loadbalancer.method", Used),
    ("loadbalancer.sticky", Used),
    ("loadbalancer.stickiness", Used),
    ("loadbalancer.stickiness.cookieName", Used),
    ("loadbalancer.stickiness.secure", Used),
    ("loadbalancer.stickiness.httpOnly", Used),
    ("loadbalancer.stickiness.sameSite", Used),
    ("circuitbreaker", Used),
    ("circuitbreaker.expression", Used),
    ("healthcheck.path", Used),
    ("healthcheck.scheme", Used),
    ("healthcheck.port", Used),
    ("healthcheck.hostname", Used),
    ("healthcheck.headers", Used),
    ("healthcheck.interval", Used),
    ("maxconn.amount", Used),
    ("maxconn.extractorfunc", Used),
    ("buffering.maxRequestBodyBytes", Used),
    ("buffering.memRequestBodyBytes", Used),
    ("buffering.maxResponseBodyBytes", Used),
    ("buffering.memResponseBodyBytes", Used),
    ("buffering.retryExpression", Used),
    // Every frame is passed on at once.
    ("responseForwarding.flushInterval", Used),
];

/// Tags of Traefik's other providers, which people copy.
const FOREIGN: &[(&str, &str)] = &[
    ("port", "the port comes from the catalog"),
    ("portName", "the port comes from the catalog"),
    ("portIndex", "the port comes from the catalog"),
    ("backend", "the service is named as in the catalog"),
    ("domain", "the domain is an option of the provider"),
];

/// The options of a frontend that cannot be honoured.
///
/// # Errors
/// The first one the frontend must not be served without.
pub(super) fn check_frontend(scope: &Scope<'_>, object: &str, report: &mut Report) -> Result<(), Problem> {
    for (name, chosen) in scope.all() {
        match support(FRONTEND, name) {
            Some(Used) => {}
            Some(ProtectsIfTrue) if words::boolean(chosen.value) == Some(true) => {
                return Err(unsupported(name, chosen.tag));
            }
            Some(ProtectsIfTrue) => {}
            None => report.warning(object, chosen.tag, unknown(name, FRONTEND)),
        }
    }
    Ok(())
}

/// Options of the service and tags of other providers.
pub(super) fn report_ignored(options: &Options<'_>, service: &str, report: &mut Report) {
    let object = format!("service {service}");
    for (name, chosen) in options.starting("backend.") {
        match support(BACKEND, name) {
            Some(_) => {}
            None => report.warning(&object, chosen.tag, unknown(name, BACKEND)),
        }
    }
    for (name, reason) in FOREIGN {
        if let Some(chosen) = options.get(name) {
            report.warning(&object, chosen.tag, format!("ignored: {reason}"));
        }
    }
    for (key, chosen) in options.starting("") {
        if key.split_once('.').is_some_and(|(_, rest)| rest.starts_with("frontend.")) {
            report.warning(&object, chosen.tag, "ignored: segments are spelled `frontends.<segment>.<option>`");
        }
    }
}

/// Whether the tags of a service say nothing in either dialect, except whether it is taken at all.
pub(super) fn is_bare(options: &Options<'_>, accepted: &[&V1Instance<'_>], prefix: &str) -> bool {
    let own = ["weight", "backend.weight", "protocol"];
    !SHARED.iter().any(|start| options.starting(start).next().is_some())
        && !accepted.iter().any(|one| own.iter().any(|name| v1_option(&one.tags, prefix, name).is_some()))
}

fn support(rows: &[(&str, Support)], name: &str) -> Option<Support> {
    let fits = |row: &str| if row.ends_with('.') { name.starts_with(row) } else { name == row };
    rows.iter().find(|(row, _)| fits(row)).map(|(_, support)| *support)
}

fn unsupported(name: impl Display, tag: &str) -> Problem {
    Problem::new(tag, format!("`{name}` is not supported yet, and it must not be served without it"))
}

fn unknown(name: &str, rows: &[(&str, Support)]) -> String {
    match rows.iter().find(|(row, _)| row.eq_ignore_ascii_case(name)) {
        Some((row, _)) => format!("unknown option, ignored: v1 options are case-sensitive, write `{row}`"),
        None => "unknown option, ignored".to_owned(),
    }
}
