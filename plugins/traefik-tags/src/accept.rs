//! Which instances of a service count: enabled, taken by the constraints, and healthy enough, in that order.
//!
//! Each instance is read in one dialect: v3 where one of its tags begins with `http`, `tcp` or `udp` after the prefix (as
//! text, so that `httpx` is a v3 typo and not a v1 service), else v1. v3's rules for `enable` are stricter than v1's.

use sluice_plugin_sdk::router::{Health, Instance, Service};

use crate::report::{Problem, Report};
use crate::settings::Settings;
use crate::tags::tree::Node;
use crate::tags::{self, Tag, after_prefix, words};
use crate::v3;

/// An accepted instance in the v1 dialect, or without tags of either.
#[derive(Debug)]
pub(crate) struct V1Instance<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) tags: Vec<Tag<'a>>,
}

/// An accepted instance in the v3 dialect, its tags decoded.
#[derive(Debug)]
pub(crate) struct V3Instance<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) tags: Vec<Tag<'a>>,
    pub(crate) root: Node,
}

/// The accepted instances, by dialect.
#[derive(Debug, Default)]
pub(crate) struct Accepted<'a> {
    pub(crate) v1: Vec<V1Instance<'a>>,
    pub(crate) v3: Vec<V3Instance<'a>>,
    /// Why none of them takes requests, where they stand for a service without healthy instances.
    pub(crate) empty: Option<String>,
}

/// Sorts out the instances of a service. Where none is healthy and the provider says so, the others stand for the service.
pub(crate) fn accept<'a>(service: &'a Service, settings: &Settings, report: &mut Report) -> Accepted<'a> {
    let mut accepted = Accepted::default();
    let mut unhealthy = Accepted::default();
    for instance in &service.instances {
        let tags = tags::read(instance, &settings.prefix, report);
        if is_v3(&tags, &settings.prefix) {
            let into = if healthy(instance, settings, &[Health::Passing, Health::Warning]) {
                &mut accepted
            } else {
                &mut unhealthy
            };
            match accept_v3(&tags, settings) {
                Ok(None) => {}
                Ok(Some(root)) => into.v3.push(V3Instance { instance, tags, root }),
                Err(problem) => report.error(&object(instance), &problem.tag, problem.message),
            }
        } else if v1_enabled(instance, &tags, settings, report) && settings.constraints.accept(&tags, &settings.prefix)
        {
            let into = if healthy(instance, settings, &[Health::Passing]) { &mut accepted } else { &mut unhealthy };
            into.v1.push(V1Instance { instance, tags });
        }
    }
    let count = unhealthy.v1.len().saturating_add(unhealthy.v3.len());
    if settings.allow_empty_services && accepted.v1.is_empty() && accepted.v3.is_empty() && count > 0 {
        unhealthy.empty =
            Some(format!("no available server: none of {count} instances of {} is healthy\n", service.name));
        return unhealthy;
    }
    accepted
}

/// How diagnostics name an instance.
pub(crate) fn object(instance: &Instance) -> String {
    format!("instance {}", instance.id)
}

fn is_v3(tags: &[Tag<'_>], prefix: &str) -> bool {
    tags.iter().filter_map(|tag| after_prefix(tag.text, prefix)).any(|key| {
        let start = key.get(..3).map(str::to_ascii_lowercase).unwrap_or_default();
        start == "tcp" || start == "udp" || key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"))
    })
}

/// The decoded tags of a v3 instance that counts.
fn accept_v3(tags: &[Tag<'_>], settings: &Settings) -> Result<Option<Node>, Problem> {
    let root = v3::decode(tags, &settings.prefix)?;
    // Traefik asks Consul for this very tag when services are hidden by default; `enable=1` is not enough.
    let literal = format!("{}.enable=true", settings.prefix);
    let enabled = root.flag("enable").unwrap_or(settings.exposed_by_default)
        && (settings.exposed_by_default || tags.iter().any(|tag| tag.text == literal));
    let counts = enabled && settings.constraints.accept(tags, &settings.prefix);
    Ok(counts.then_some(root))
}

fn healthy(instance: &Instance, settings: &Settings, by_default: &[Health]) -> bool {
    settings.checks.as_deref().unwrap_or(by_default).contains(&instance.health)
}

/// The first `enable` tag decides, in any letter case; what Go does not read as a boolean counts as absent.
fn v1_enabled(instance: &Instance, tags: &[Tag<'_>], settings: &Settings, report: &mut Report) -> bool {
    let Some((tag, value)) = v1_option(tags, &settings.prefix, "enable") else { return settings.exposed_by_default };
    words::boolean(value).unwrap_or_else(|| {
        let state = if settings.exposed_by_default { "exposed" } else { "not exposed" };
        let message =
            format!("this is not a boolean, so the instance is {state}, as by default; write `=true` or `=false`");
        report.warning(&object(instance), tag.raw, message);
        settings.exposed_by_default
    })
}

/// The first tag of an instance with that v1 instance-level name, in any letter case. Without `=`, the tag is its value.
pub(crate) fn v1_option<'a>(tags: &[Tag<'a>], prefix: &str, name: &str) -> Option<(Tag<'a>, &'a str)> {
    let key = format!("{prefix}.{name}");
    tags.iter().find_map(|tag| {
        let (found, value) = tag.split().unwrap_or((tag.text, tag.text));
        found.eq_ignore_ascii_case(&key).then_some((*tag, value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn service(tags: &[&str], health: Health) -> Service {
        let instance = Instance {
            id: "i".into(),
            node: String::new(),
            address: "10.0.0.1".into(),
            port: 80,
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            health,
        };
        Service { name: "web".into(), instances: vec![instance] }
    }

    /// How many instances count in v1 and v3.
    fn counts(json: &str, tags: &[&str], health: Health) -> (usize, usize) {
        let settings = Settings::parse(json).unwrap();
        let service = service(tags, health);
        let accepted = accept(&service, &settings, &mut Report::default());
        (accepted.v1.len(), accepted.v3.len())
    }

    #[test]
    fn v1_enable() {
        for (tags, exposed, hidden) in [
            (&[][..], 1, 0),
            (&["traefik.enable=1"], 1, 1),
            (&["TRAEFIK.Enable=T"], 1, 1),
            (&["traefik.enable=false"], 0, 0),
            (&["traefik.enable=yes"], 1, 0),
            (&["traefik.enable"], 1, 0),
            (&["traefik.enable="], 1, 0),
            (&[" traefik.enable=false"], 0, 0),
            (&["traefik.enable=true", "traefik.enable=false"], 1, 1),
        ] {
            assert_eq!(counts("", tags, Health::Passing).0, exposed, "{tags:?}");
            assert_eq!(counts(r#"{"exposed-by-default":false}"#, tags, Health::Passing).0, hidden, "{tags:?}");
        }
    }

    #[test]
    fn v3_enable() {
        let router = "traefik.http.routers.r.rule=Host(`a`)";
        for (tags, exposed, hidden) in [
            (&[router][..], 1, 0),
            (&[router, "traefik.enable=true"], 1, 1),
            (&[router, "traefik.enable=1"], 1, 0),
            (&[router, "traefik.enable=false"], 0, 0),
            (&[router, "traefik.enable=yes"], 0, 0),
            (&[router, "traefik.enabled=true"], 0, 0),
        ] {
            assert_eq!(counts("", tags, Health::Passing), (0, exposed), "{tags:?}");
            assert_eq!(counts(r#"{"exposed-by-default":false}"#, tags, Health::Passing), (0, hidden), "{tags:?}");
        }
    }

    #[test]
    fn the_dialect_is_each_instances_own() {
        for (tag, wanted) in [
            ("traefik.http.routers.r=true", (0, 1)),
            ("traefik.HTTP.routers.r=true", (0, 1)),
            ("traefik.http.routers.r.tls", (0, 1)),
            ("traefik.tcp.routers.r.rule=x", (0, 1)),
            ("traefik.udp.services.s.loadbalancer.server.port=1", (0, 1)),
            ("traefik.httpx.a=1", (0, 0)),
            ("Traefik.http.routers.r=true", (1, 0)),
            ("traefik.frontend.rule=Host:a", (1, 0)),
            ("http", (1, 0)),
        ] {
            assert_eq!(counts("", &[tag], Health::Passing), wanted, "{tag}");
        }
    }

    #[test]
    fn health_by_dialect_and_setting() {
        let (v1, v3) = ("traefik.frontend.rule=Host:a", "traefik.http.routers.r=true");
        for (json, health, in_v1, in_v3) in [
            ("", Health::Passing, 1, 1),
            ("", Health::Warning, 0, 1),
            ("", Health::Critical, 0, 0),
            ("", Health::Maintenance, 0, 0),
            (r#"{"strict-checks":["passing"]}"#, Health::Warning, 0, 0),
            (r#"{"strict-checks":["passing","warning"]}"#, Health::Warning, 1, 1),
            (r#"{"strict-checks":["any"]}"#, Health::Critical, 1, 1),
        ] {
            assert_eq!(counts(json, &[v1], health), (in_v1, 0), "{json} {health:?}");
            assert_eq!(counts(json, &[v3], health), (0, in_v3), "{json} {health:?}");
        }
    }

    #[test]
    fn constraints_decide_in_both_dialects() {
        let json = r#"{"constraints":"Tag(`eu`)"}"#;
        for tags in [&["eu"][..], &["eu", "traefik.http.routers.r=true"]] {
            let (v1, v3) = counts(json, tags, Health::Passing);
            assert_eq!(v1 + v3, 1, "{tags:?}");
            assert_eq!(counts(json, tags.get(1..).unwrap(), Health::Passing), (0, 0), "{tags:?}");
        }
    }
}
