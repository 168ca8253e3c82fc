//! What holds for any tags whatever: no panic, sound rules, unique names, no dangling local step, the same answer twice.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use sluice_plugin_sdk::router::{Action, Contribution, Health, Instance, Service, Severity};

use crate::arena::is_sound;
use crate::settings::Settings;
use crate::testing::{Named, instance, names};

const KEYS: &[&str] = &[
    "enable",
    "weight",
    "backend.weight",
    "protocol",
    "tags",
    "frontend.rule",
    "frontend.priority",
    "frontend.entryPoints",
    "frontend.passHostHeader",
    "frontend.policies",
    "frontend.auth.basic",
    "frontend.rateLimit.extractorFunc",
    "frontend.rateLimit.rateSet.a.period",
    "frontends.s.rule",
    "frontends.s.passHostHeader",
    "policies.m.plugin",
    "http.routers.r.rule",
    "http.routers.r.priority",
    "http.routers.r.service",
    "http.routers.r.middlewares",
    "http.routers.R.tls",
    "http.services.s.loadbalancer.server.port",
    "http.services.s.loadbalancer.server.url",
    "http.services.t.loadbalancer.passhostheader",
    "http.middlewares.m.chain.middlewares",
    "http.middlewares.n.stripprefix.prefixes",
    "http.middlewares.n.basicauth.users",
    "http.middlewares.m.plugin.p[0].x",
    "tcp.routers.t.rule",
    "tcp.routers.t.tls.options",
    "tcp.routers.t.middlewares",
    "tcp.services.s.loadbalancer.server.port",
    "tcp.middlewares.m.inflightconn.amount",
    "consulcatalog.canary",
];

const VALUES: &[&str] = &[
    "",
    "true",
    "false",
    "1",
    "-1",
    "0",
    "yes",
    "m",
    "m,n",
    "n@consulcatalog",
    "Host:a.test",
    "Host:a;Path:/x/",
    "PathPrefixStrip:/a,/b;AddPrefix:/c",
    "Host:{{.ServiceName}}.",
    "{{range .Attributes}}{{.}}{{end}}",
    "Query:k",
    "Host(`a`)",
    "Host(`a`) && !Path(`/x`)",
    "Host(",
    "HostSNI(`*`)",
    "http://b:81",
    "client.ip",
    "/é",
    "{",
];

fn tags() -> impl Strategy<Value = Vec<String>> {
    let known = (prop::sample::select(KEYS), prop::sample::select(VALUES))
        .prop_map(|(key, value)| format!("traefik.{key}={value}"));
    let noise = "[ -~é]{0,24}";
    prop::collection::vec(prop_oneof![9 => known, 1 => noise], 0..7)
}

fn services() -> impl Strategy<Value = Service> {
    let health = prop::sample::select(vec![Health::Passing, Health::Warning, Health::Critical]);
    let instances = prop::collection::vec((tags(), health), 0..4);
    ("[A-Za-z._-]{1,8}", instances).prop_map(|(name, all)| Service {
        name,
        instances: (0..)
            .zip(all)
            .map(|(at, (tags, health))| Instance { tags, health, ..instance(&format!("i{at}"), &[]) })
            .collect(),
    })
}

fn unique<T: Named>(all: &[T]) -> bool {
    names(all).into_iter().collect::<BTreeSet<_>>().len() == all.len()
}

/// Steps that are reported as unusable, none of which may be referred to.
fn refused(result: &Contribution) -> BTreeSet<&str> {
    let errors = result.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    errors.filter_map(|found| found.object.strip_prefix("step ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_contribution_is_always_whole(service in services(), json in prop::sample::select(vec![
        "{}",
        r#"{"exposed-by-default":false}"#,
        r#"{"domain":"d.test","entrypoints":[{"name":"m"}],"strict-checks":["any"],"constraints":["tag!=m"]}"#,
    ])) {
        let settings = Settings::parse(json).unwrap();
        let result = crate::contribute(&service, &settings);
        prop_assert!(result == crate::contribute(&service, &settings));
        prop_assert!(unique(&result.routes) && unique(&result.services) && unique(&result.steps));
        let refused = refused(&result);
        let chains = result.steps.iter().filter_map(|step| match &step.action {
            Action::Chain(links) => Some(links),
            _ => None,
        });
        for name in result.routes.iter().map(|route| &route.steps).chain(chains).flatten() {
            prop_assert!(!refused.contains(settings.local_name(name)), "`{name}` is used although it was refused");
        }
        for route in &result.routes {
            prop_assert!(is_sound(&route.rule), "{:?}", route.rule);
        }
        let known: BTreeSet<&str> = service.instances.iter().map(|one| one.id.as_str()).collect();
        for target in result.services.iter().flat_map(|service| service.targets()) {
            prop_assert!(known.contains(target.instance.as_str()));
        }
    }
}
