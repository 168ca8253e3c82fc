//! Catalogs and requests, described by what they are to mean.

use std::fmt;

use proptest::prelude::*;
use serde_json::json;
use sluice_model::rule::HeaderValues;
use sluice_plugin_sdk::router::{Health, Instance, Service};

use super::rules::{HOSTS, V1Rule, V3Rule, v1_rules, v3_rules};
use crate::native;

/// A provider, its services, and what is asked.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) options: Options,
    pub(super) services: Vec<Svc>,
    pub(super) requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) exposed: bool,
    pub(super) domain: &'static str,
    pub(super) constraint: Constraint,
    /// Whether instances with warnings count, where it is set.
    pub(super) warnings: Option<bool>,
}

/// Each over the one word `gold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Constraint {
    None,
    V1Wanted,
    V1Unwanted,
    V3Wanted,
    V3Unwanted,
}

/// A service of the catalog.
#[derive(Clone, Debug)]
pub(super) struct Svc {
    pub(super) name: &'static str,
    pub(super) instances: Vec<Inst>,
}

#[derive(Clone, Debug)]
pub(super) struct Inst {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) health: Health,
    /// The value of `enable`, where there is one.
    pub(super) enable: Option<&'static str>,
    /// Whether it has the bare tag `gold`.
    pub(super) plain_gold: bool,
    /// The list in `traefik.tags`.
    pub(super) listed: Option<&'static str>,
    pub(super) weight: Option<&'static str>,
    pub(super) said: Said,
}

/// The rest of its tags.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Bare,
    V1(V1),
    V3(V3),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct V1 {
    pub(super) rule: Option<V1Rule>,
    pub(super) priority: Option<&'static str>,
    pub(super) segment: Option<V1Rule>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct V3 {
    pub(super) routers: Vec<Router>,
    /// Names, ports and schemes.
    pub(super) services: Vec<(&'static str, Option<u16>, Option<&'static str>)>,
    pub(super) middlewares: Vec<(&'static str, Middleware)>,
    /// An option Traefik does not know.
    pub(super) typo: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Router {
    pub(super) name: &'static str,
    pub(super) rule: V3Rule,
    pub(super) priority: Option<i64>,
    pub(super) service: Option<&'static str>,
    pub(super) middlewares: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Middleware {
    Strip,
    Add,
    Replace,
    /// Of the two before.
    Chain,
    Broken,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) host: String,
    pub(super) target: &'static str,
    pub(super) plans: Vec<&'static str>,
    pub(super) client: &'static str,
}

const NAMES: &[&str] = &["cart", "Pay.Core", "web"];

fn v1s() -> impl Strategy<Value = Said> {
    let priority = prop::option::weighted(0.3, prop::sample::select(&["5", "90", "0", "-1", "high"][..]));
    let parts = (prop::option::weighted(0.85, v1_rules()), priority, prop::option::weighted(0.3, v1_rules()));
    parts.prop_map(|(rule, priority, segment)| {
        // Nothing at all would be a service without tags of either dialect.
        let rule = if rule.is_none() && priority.is_none() && segment.is_none() {
            Some(V1Rule { parts: vec![super::rules::V1Part::Host(vec!["a.test"])], broken: false })
        } else {
            rule
        };
        Said::V1(V1 { rule, priority, segment })
    })
}

fn v3s(at: usize) -> impl Strategy<Value = Said> {
    // Names are the service's own: one name in two services is a matter of linking.
    const ROUTERS: &[[&str; 2]] = &[["r0", "s0"], ["r1", "s1"], ["r2", "s2"]];
    const SERVICES: &[[&str; 2]] = &[["u0", "w0"], ["u1", "w1"], ["u2", "w2"]];
    const STEPS: &[[&str; 2]] = &[["m0", "n0"], ["m1", "n1"], ["m2", "n2"]];
    let (routers, services, steps) = (&ROUTERS[at], &SERVICES[at], &STEPS[at]);
    let kind = prop_oneof![
        3 => Just(Middleware::Strip),
        3 => Just(Middleware::Add),
        2 => Just(Middleware::Replace),
        1 => Just(Middleware::Chain),
        1 => Just(Middleware::Broken)
    ];
    let middlewares =
        prop::collection::vec(kind, 0..=2).prop_map(move |kinds| steps.iter().copied().zip(kinds).collect::<Vec<_>>());
    let service = (prop::option::of(Just(8081_u16)), prop::option::weighted(0.3, Just("https")));
    let said = prop::collection::vec(service, 0..=2).prop_map(move |all| {
        services.iter().zip(all).map(|(name, (port, scheme))| (*name, port, scheme)).collect::<Vec<_>>()
    });
    let router = (
        v3_rules(),
        prop::option::weighted(0.3, prop::sample::select(&[1_i64, 50, -3][..])),
        prop::option::weighted(0.4, prop::sample::select(&services[..])),
        prop::collection::vec(prop::sample::select(&steps[..]), 0..=2),
    );
    let routers = prop::collection::vec(router, 0..=2).prop_map(move |all| {
        let named = routers.iter().zip(all);
        named
            .map(|(name, (rule, priority, service, middlewares))| Router { name, rule, priority, service, middlewares })
            .collect::<Vec<_>>()
    });
    (routers, said, middlewares, prop::bool::weighted(0.04)).prop_map(|(routers, services, middlewares, typo)| {
        // Something has to say that it is v3.
        let services = if routers.is_empty() && services.is_empty() && middlewares.is_empty() && !typo {
            vec![("w9", None, None)]
        } else {
            services
        };
        Said::V3(V3 { routers, services, middlewares, typo })
    })
}

fn services(at: usize) -> impl Strategy<Value = Svc> {
    let said = || prop_oneof![1 => Just(Said::Bare), 5 => v1s(), 5 => v3s(at)];
    let health = prop_oneof![
        8 => Just(Health::Passing),
        2 => Just(Health::Warning),
        1 => Just(Health::Critical),
        1 => Just(Health::Maintenance)
    ];
    let enable = prop_oneof![
        4 => Just(None),
        6 => Just(Some("true")),
        1 => Just(Some("1")),
        1 => Just(Some("false")),
        1 => Just(Some("yes"))
    ];
    let weight = prop::option::weighted(0.3, prop::sample::select(&["3", "1", "0", "heavy"][..]));
    let listed = prop::option::weighted(0.3, prop::sample::select(&["gold", "old, gold", "old"][..]));
    // `None` says what the service's first instance says: deploys are usually done.
    let other = prop::option::weighted(0.25, said());
    let instance = (health, enable, prop::bool::weighted(0.6), listed, weight, other);
    (said(), prop::collection::vec(instance, 0..=3)).prop_map(move |(usual, instances)| {
        let instances = instances.into_iter().enumerate();
        let made = instances.map(|(number, (health, enable, plain_gold, listed, weight, other))| Inst {
            id: format!("i{number}"),
            address: format!("10.0.{at}.{number}"),
            port: 80,
            health,
            enable,
            plain_gold,
            listed,
            weight,
            said: other.unwrap_or_else(|| usual.clone()),
        });
        Svc { name: NAMES[at], instances: made.collect() }
    })
}

pub(super) fn requests() -> impl Strategy<Value = Request> {
    let host = prop_oneof![
        5 => prop::sample::select(HOSTS).prop_map(str::to_owned),
        1 => prop::sample::select(&["A.Test:8080", "a.test.", "x7.test", "other.test", "cart", "web.d.test", "cart.d.test", "10.1.1.1"][..])
            .prop_map(str::to_owned)
    ];
    let target = prop::sample::select(
        &[
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/b?k=1",
            "/shop",
            "/shopping",
            "/item/7",
            "/item/7/",
            "/item/x",
            "/x%20y",
            "/a%2Fb",
            "/a?k=2&k=1",
            "/a?k",
            "/?k=",
        ][..],
    );
    let plans = prop::collection::vec(prop::sample::select(&["gold", "old"][..]), 0..3);
    let method = prop_oneof![3 => Just("GET"), 1 => Just("POST"), 1 => Just("PUT")];
    let client = prop_oneof![3 => Just("127.0.0.1"), 1 => Just("10.1.2.3")];
    (host, target, plans, method, client).prop_map(|(host, target, plans, method, client)| Request {
        method,
        host,
        target,
        plans,
        client,
    })
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let constraint = prop_oneof![
        6 => Just(Constraint::None),
        1 => Just(Constraint::V1Wanted),
        1 => Just(Constraint::V1Unwanted),
        1 => Just(Constraint::V3Wanted),
        1 => Just(Constraint::V3Unwanted),
    ];
    let options = (
        prop::bool::weighted(0.7),
        prop::sample::select(&["", "d.test"][..]),
        constraint,
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(exposed, domain, constraint, warnings)| Options { exposed, domain, constraint, warnings });
    (options, (services(0), services(1), services(2)), 1..=3_usize, prop::collection::vec(requests(), 12)).prop_map(
        |(options, (a, b, c), count, requests)| {
            let mut services = vec![a, b, c];
            services.truncate(count);
            Case { options, services, requests }
        },
    )
}

impl Options {
    pub(super) fn to_json(&self) -> String {
        let mut json = json!({ "exposed-by-default": self.exposed, "domain": self.domain });
        match self.constraint {
            Constraint::None => {}
            Constraint::V1Wanted => json["constraints"] = json!(["tag==go*"]),
            Constraint::V1Unwanted => json["constraints"] = json!(["tag!=gold"]),
            Constraint::V3Wanted => json["constraints"] = json!("Tag(`gold`) || TagRegex(`^never`)"),
            Constraint::V3Unwanted => json["constraints"] = json!("!Tag(`gold`)"),
        }
        if let Some(warnings) = self.warnings {
            json["strict-checks"] = if warnings { json!(["passing", "warning"]) } else { json!(["passing"]) };
        }
        json.to_string()
    }
}

impl Svc {
    pub(super) fn to_service(&self) -> Service {
        let instances = self.instances.iter().map(|one| Instance {
            id: one.id.clone(),
            node: "node".to_owned(),
            address: one.address.clone(),
            port: one.port,
            tags: one.tags(),
            health: one.health,
        });
        Service { name: self.name.to_owned(), instances: instances.collect() }
    }
}

impl Inst {
    pub(super) fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        tags.extend(self.plain_gold.then(|| "gold".to_owned()));
        tags.extend(self.enable.map(|value| format!("traefik.enable={value}")));
        tags.extend(self.listed.map(|value| format!("traefik.tags={value}")));
        match &self.said {
            Said::Bare => {}
            Said::V1(said) => {
                tags.extend(self.weight.map(|value| format!("traefik.weight={value}")));
                tags.extend(said.rule.as_ref().map(|rule| format!("traefik.frontend.rule={}", rule.text())));
                tags.extend(said.priority.map(|value| format!("traefik.frontend.priority={value}")));
                tags.extend(said.segment.as_ref().map(|rule| format!("traefik.frontends.seg.rule={}", rule.text())));
            }
            Said::V3(said) => {
                said.write(&mut tags, self.weight.filter(|value| value.parse::<i64>().is_ok()));
            }
        }
        tags
    }
}

impl V3 {
    fn write(&self, tags: &mut Vec<String>, weight: Option<&str>) {
        for router in &self.routers {
            let start = format!("traefik.http.routers.{}", router.name);
            tags.push(format!("{start}.rule={}", router.rule.text()));
            tags.extend(router.priority.map(|value| format!("{start}.priority={value}")));
            tags.extend(router.service.map(|name| format!("{start}.service={name}")));
            if !router.middlewares.is_empty() {
                tags.push(format!("{start}.middlewares={}", router.middlewares.join(", ")));
            }
        }
        for (name, port, scheme) in &self.services {
            let start = format!("traefik.http.services.{name}.loadbalancer");
            tags.push(format!("{start}.passhostheader=true"));
            tags.extend(port.map(|port| format!("{start}.server.port={port}")));
            tags.extend(scheme.map(|scheme| format!("{start}.server.scheme={scheme}")));
            tags.extend(weight.map(|weight| format!("{start}.server.weight={weight}")));
        }
        let mut before: Vec<&str> = Vec::new();
        for (name, kind) in &self.middlewares {
            let start = format!("traefik.http.middlewares.{name}");
            tags.push(match kind {
                Middleware::Strip => format!("{start}.stripprefix.prefixes=/a, /shop"),
                Middleware::Add => format!("{start}.addprefix.prefix=/pre"),
                Middleware::Replace => format!("{start}.replacepath.path=/replaced"),
                Middleware::Chain => format!("{start}.chain.middlewares={}", before.join(",")),
                Middleware::Broken => format!("{start}.addprefix.prefix="),
            });
            before.push(name);
        }
        if self.typo {
            tags.push("traefik.http.routers.typo.rul=x".to_owned());
        }
    }
}

impl Request {
    /// In lower case, without a port.
    pub(super) fn bare_host(&self) -> String {
        self.host.split(':').next().unwrap().to_lowercase()
    }

    fn raw_path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// Everything decoded. The targets have few encodings, so that these can be listed.
    pub(super) fn decoded_path(&self) -> String {
        self.raw_path().replace("%20", " ").replace("%2F", "/")
    }

    /// Decoded but for the reserved slash.
    pub(super) fn routing_path(&self) -> String {
        self.raw_path().replace("%20", " ")
    }

    pub(super) fn header<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let asked = name.eq_ignore_ascii_case("x-plan");
        self.plans.iter().copied().filter(move |_| asked)
    }

    pub(super) fn query<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let pairs = self.target.split_once('?').map_or("", |(_, query)| query).split('&');
        pairs.filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| value.to_owned())
        })
    }

    pub(super) fn to_native(&self) -> native::Request<'_> {
        let client = self.client.parse().unwrap();
        native::Request { method: self.method, host: &self.host, target: self.target, headers: self, client }
    }
}

impl HeaderValues for Request {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.header(name).any(|value| test(value.as_bytes()))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.options.to_json())?;
        for service in &self.services {
            writeln!(f, "{}", service.name)?;
            for one in &service.instances {
                writeln!(f, "  {} {:?} {:#?}", one.id, one.health, one.tags())?;
            }
        }
        Ok(())
    }
}
