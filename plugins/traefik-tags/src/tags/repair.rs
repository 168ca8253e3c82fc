//! Tags torn at their commas, put together again where the operator asks for it.
//!
//! Registrator up to its last release splits `SERVICE_TAGS` at every comma, so that `frontend.rule=Host:a,b` arrives as
//! two tags. Nothing in the second one says that it was torn off; it is taken for that where it follows a tag of ours
//! whose option holds a list, or an argument list that is still open, and does not begin as a tag of ours itself.

use sluice_plugin_sdk::router::{Instance, Service};

use super::after_prefix;
use crate::report::Report;

/// The last elements of options that may hold commas.
const WITH_COMMAS: &[&str] = &[
    "rule",
    "entrypoints",
    "middlewares",
    "policies",
    "tags",
    "prefixes",
    "regex",
    "status",
    "users",
    "basic",
    "sourcerange",
    "whitelistsourcerange",
    "excludedips",
    "allowedhosts",
    "hostsproxyheaders",
    "alloworigins",
    "authresponseheaders",
    "authrequestheaders",
    "addauthcookiestoresponse",
    "errorrequestheaders",
    "encodings",
    "excludedcontenttypes",
    "includedcontenttypes",
    "accesscontrolallowheaders",
    "accesscontrolallowmethods",
    "accesscontrolalloworiginlist",
    "accesscontrolalloworiginlistregex",
    "accesscontrolexposeheaders",
    "sans",
    "expression",
    "retryexpression",
    "circuitbreaker",
    "permissionspolicy",
    "featurepolicy",
];

/// Registrator adds this one itself.
const ADDED: &str = "udp";

/// A service with its torn tags joined.
pub(crate) fn service(service: &Service, prefix: &str, report: &mut Report) -> Service {
    let instances = service.instances.iter().map(|instance| self::instance(instance, prefix, report));
    Service { name: service.name.clone(), instances: instances.collect() }
}

fn instance(instance: &Instance, prefix: &str, report: &mut Report) -> Instance {
    let mut tags: Vec<String> = Vec::with_capacity(instance.tags.len());
    for tag in &instance.tags {
        match tags.last_mut().filter(|before| is_torn_off(before, tag, prefix)) {
            Some(before) => {
                before.push(',');
                before.push_str(tag);
                let message = format!("taken for the rest of a tag that was torn at its commas: `{before}`");
                report.warning(&format!("instance {}", instance.id), tag, message);
            }
            None => tags.push(tag.clone()),
        }
    }
    Instance { tags, ..instance.clone() }
}

/// Whether `tag` is the rest of the one before it.
fn is_torn_off(before: &str, tag: &str, prefix: &str) -> bool {
    let is_ours = |tag: &str| after_prefix(tag.trim(), prefix).is_some();
    let Some((key, value)) = before.trim().split_once('=').filter(|_| is_ours(before)) else { return false };
    if is_ours(tag) || tag.trim() == ADDED {
        return false;
    }
    let last = key.rsplit('.').next().unwrap_or_default();
    // A call that is not closed cannot be a value, whatever its option.
    is_open(value) || WITH_COMMAS.iter().any(|name| last.eq_ignore_ascii_case(name)) && !is_closed(value)
}

/// Whether a parenthesis, or a text in backticks, is open at the end.
fn is_open(value: &str) -> bool {
    let (mut depth, mut quoted) = (0_i32, false);
    for c in value.chars() {
        match c {
            '`' => quoted = !quoted,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth > 0 || quoted
}

/// Whether a value is a whole v3 expression: there commas stand inside of calls only.
fn is_closed(value: &str) -> bool {
    value.contains('(') && value.trim_end().ends_with(')')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::{contribution, route, route_hosts, service_with};

    fn repaired(tags: &[&str]) -> (Vec<String>, usize) {
        let mut report = Report::default();
        let whole = service(&service_with("s", &[tags]), "traefik", &mut report);
        (whole.instances.first().unwrap().tags.clone(), report.finish().len())
    }

    #[test]
    fn lists_and_open_calls_are_joined() {
        for (torn, whole) in [
            (&["traefik.frontend.rule=Host:a", "b", "c"][..], &["traefik.frontend.rule=Host:a,b,c"][..]),
            (&["traefik.frontend.entryPoints=http", "https"], &["traefik.frontend.entryPoints=http,https"]),
            (
                &["traefik.http.routers.r.rule=Header(`a`", " `b`) && Path(`/x`)", "prod"],
                &["traefik.http.routers.r.rule=Header(`a`, `b`) && Path(`/x`)", "prod"],
            ),
            (&["traefik.http.routers.r.rule=Path(`/a", "b`)"], &["traefik.http.routers.r.rule=Path(`/a,b`)"]),
            (
                &["traefik.backend.circuitbreaker.expression=ResponseCodeRatio(500", " 600", " 0", " 600) > 0.5"],
                &["traefik.backend.circuitbreaker.expression=ResponseCodeRatio(500, 600, 0, 600) > 0.5"],
            ),
        ] {
            let (tags, warnings) = repaired(torn);
            assert_eq!(tags, whole);
            assert_eq!(warnings + tags.len(), torn.len(), "each repair is reported: {torn:?}");
        }
    }

    #[test]
    fn what_may_stand_alone_is_left_alone() {
        for tags in [
            &["prod", "traefik.enable=true", "eu"][..],
            &["traefik.frontend.rule=Host:a", "traefik.weight=1"],
            &["traefik.frontend.rule=Host:a", "udp"],
            &["traefik.http.routers.r.rule=Host(`a`)", "eu"],
            &["other.rule=x", "y"],
        ] {
            assert_eq!(repaired(tags), (tags.iter().map(|&tag| tag.to_owned()).collect(), 0), "{tags:?}");
        }
    }

    #[test]
    fn only_on_request() {
        let torn = service_with("web", &[&["traefik.frontend.rule=Host:a.test", "b.test"]]);
        let hosts = |json: &str| route_hosts(route(&contribution(json, &torn), "web").unwrap());
        assert_eq!(hosts(""), ["a.test"]);
        assert_eq!(hosts(r#"{"repair-commas":true}"#), ["a.test", "b.test"]);
    }
}
