#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value as Json, json};
use sluice_plugin_sdk::router::{
    Action, Balancer, Contribution, CookieValue, Replacement, RuleNode, SameSite, Scheme, Severity, Strategy,
};

use crate::testing::{contribution, instance, names, route, route_hosts, service_with, severities, step};

fn v1(tags: &[&str]) -> Contribution {
    contribution("{}", &service_with("Web", &[tags]))
}

/// The severities of a contribution without its route, where it was left out.
fn left_out(tags: &[&str]) -> Vec<Severity> {
    let result = v1(tags);
    assert!(result.routes.is_empty(), "{tags:?} was served");
    severities(&result)
}

#[test]
fn a_plain_service() {
    let result = v1(&["traefik.frontend.rule=Host:A.test;PathPrefix:/x"]);
    assert_eq!((names(&result.routes), names(&result.services)), (vec!["web"], vec!["web"]));
    let route = route(&result, "web").unwrap();
    assert_eq!((route.service.as_str(), route.priority), ("web", 25));
    assert_eq!(route.rule.text, "Host:A.test;PathPrefix:/x");
    assert!(route.entrypoints.is_empty() && route.steps.is_empty());
    assert!(result.diagnostics.is_empty());
}

#[test]
fn a_bare_service_is_reached_by_the_default_rules() {
    let hosts = |json: &str, name: &str, tags: &[&str]| {
        let result = contribution(json, &service_with(name, &[tags]));
        route_hosts(result.routes.first().unwrap())
    };
    let corp = r#"{"domain":"corp.test"}"#;
    assert_eq!(hosts("{}", "Pay.Core_2", &[]), ["pay.core_2", "pay-core-2"]);
    assert_eq!(
        hosts("{}", "Pay.Core_2", &["green", "traefik.enable=true", "traefik.tags=a"]),
        ["pay.core_2", "pay-core-2"]
    );
    assert_eq!(hosts(corp, "Pay.Core_2", &["green"]), ["pay.core_2.corp.test"]);
    assert_eq!(hosts(r#"{"default-rule":"Host(`{{ .Name }}.x`)"}"#, "a", &[]), ["a.x"]);
    for tag in ["traefik.weight=2", "traefik.backend.maxconn.amount=0", "traefik.frontend.passHostHeader=true"] {
        assert_eq!(hosts("{}", "Pay.Core_2", &[tag]), ["pay.core_2"], "{tag} makes it a v1 service");
    }
}

#[test]
fn the_rule_template_is_filled_in() {
    let json = r#"{"domain":"d.test"}"#;
    for (tags, host) in [
        (&["traefik.frontend.rule=Host:{{.ServiceName}}.example.org"][..], "web.example.org"),
        (&["traefik.frontend.rule=Host:{{getTag \"zone\" .Attributes \"z0\"}}.{{.Domain}}", "zone=eu"], "eu.d.test"),
        (&["traefik.frontend.rule=Host:{{getAttribute \"alias\" .Attributes \"-\"}}", "traefik.alias=al"], "al"),
        (&["traefik.frontend.rule="], "web.d.test"),
        (&["traefik.frontend.rule=Host:one.test."], "one.test"),
    ] {
        let result = contribution(json, &service_with("Web", &[tags]));
        assert_eq!(route_hosts(route(&result, "web").unwrap()), [host], "{tags:?}");
    }
    let result = contribution(json, &service_with("Web", &[&["traefik.frontend.rule=Host:a.test.,b.test."]]));
    assert_eq!(route_hosts(route(&result, "web").unwrap()), ["a.test.", "b.test"], "only the very end is trimmed");
}

#[test]
fn a_rule_that_cannot_be_read_costs_only_its_frontend() {
    for rule in ["Host:{{.Nope}}", "Host:{{", "Origin:x", "Host:", "{{if false}}x{{end}}"] {
        let rule = format!("traefik.frontend.rule={rule}");
        let result = v1(&[&rule, "traefik.frontends.ok.rule=Host:ok.test"]);
        assert_eq!(names(&result.routes), ["web-ok"], "{rule}");
        let error = result.diagnostics.first().unwrap();
        assert_eq!((error.object.as_str(), error.tag.as_str()), ("route web", rule.as_str()));
        assert_eq!(error.severity, Severity::Error);
    }
}

#[test]
fn doubled_backslashes_collapse() {
    for rule in [r"traefik.frontend.rule=PathPrefix:/r{n:\\d+}", r"traefik.frontend.rule=PathPrefix:/r{n:\d+}"] {
        let result = v1(&[rule]);
        let nodes = &route(&result, "web").unwrap().rule.nodes;
        assert!(matches!(nodes.as_slice(), [RuleNode::PathRegexp(path)] if path.pattern == r"^/r(?:\d+)"), "{nodes:?}");
    }
}

#[test]
fn segments_are_frontends_beside_the_plain_one() {
    let result = v1(&[
        "traefik.frontend.priority=7",
        "traefik.frontends.adm.rule=Host:adm.test",
        "traefik.frontends.low.priority=3",
        "traefik.adm.frontend.rule=Host:ignored.test",
    ]);
    assert_eq!(names(&result.routes), ["web", "web-adm", "web-low"]);
    assert_eq!(names(&result.services), ["web"]);
    assert_eq!(route_hosts(route(&result, "web").unwrap()), ["web"]);
    assert_eq!(route_hosts(route(&result, "web-low").unwrap()), ["web-low"], "its name is part of the default rule");
    assert_eq!(route(&result, "web-adm").unwrap().priority, 13, "a segment inherits nothing");
    assert_eq!(severities(&result), [Severity::Warning], "the form of another provider is reported");
}

#[test]
fn a_segment_that_treats_the_host_header_otherwise_has_its_own_service() {
    let result = v1(&["traefik.frontends.a.passHostHeader=false", "traefik.frontends.b.passHostHeader=true"]);
    let services: Vec<_> =
        result.services.iter().map(|one| (one.name.as_str(), one.balancer().unwrap().pass_host_header)).collect();
    assert_eq!(services, [("web", true), ("web-a", false)]);
    let of = |name| route(&result, name).unwrap().service.clone();
    assert_eq!((of("web"), of("web-a"), of("web-b")), ("web".into(), "web-a".into(), "web".into()));
    let result = v1(&["traefik.frontend.passHostHeader=false"]);
    assert!(!result.services.first().unwrap().balancer().unwrap().pass_host_header);
}

#[test]
fn priorities() {
    for (tags, priority) in [
        (&["traefik.frontend.rule=Host:a", "traefik.frontend.priority=100"][..], 100),
        (&["traefik.frontend.rule=Host:a", "traefik.frontend.priority=0"], 6),
        (&["traefik.frontend.rule=Host:a", "traefik.frontend.priority=-5"], 6),
        (&["traefik.frontend.rule=Host:a", "traefik.frontend.priority=high"], 6),
        (&["traefik.frontend.rule=Host:{{.ServiceName}}"], 8),
        (&["traefik.frontend.rule=Path:/é"], 8),
    ] {
        assert_eq!(route(&v1(tags), "web").unwrap().priority, priority, "{tags:?}");
    }
}

#[test]
fn entrypoints() {
    let json = r#"{"entrypoints":[{"name":"http"},{"name":"https","tls":true}]}"#;
    for (value, known, warnings) in [
        ("http,https", Some(vec!["http", "https"]), 0),
        (" http , nope", Some(vec!["http"]), 1),
        ("nope", None, 1),
        ("", Some(vec![]), 0),
    ] {
        let tag = format!("traefik.frontend.entryPoints={value}");
        let result = contribution(json, &service_with("web", &[&[&tag]]));
        let found = route(&result, "web").map(|route| route.entrypoints.iter().map(String::as_str).collect());
        assert_eq!((found, result.diagnostics.len()), (known, warnings), "{value}");
    }
    let result = v1(&["traefik.frontend.entryPoints=any"]);
    assert_eq!(route(&result, "web").unwrap().entrypoints, ["any"], "unknown names cannot be checked");
}

#[test]
fn modifiers_become_steps_in_v1s_order() {
    let result = v1(&["traefik.frontend.rule=ReplacePath:/f;ReplacePathRegex: ^/i/(.*) /z/$1;AddPrefix:/i;\
        PathPrefixStrip:/m,/m/n;PathPrefixStripRegex:/r{n:[0-9]+}"]);
    let wanted = ["web-strip-regex", "web-strip", "web-add-prefix", "web-replace-regex", "web-replace"];
    assert_eq!(route(&result, "web").unwrap().steps, wanted);
    assert_eq!(step(&result, "web-strip"), Some(&Action::StripPrefix(vec!["/m/n".into(), "/m".into()])));
    assert_eq!(step(&result, "web-strip-regex"), Some(&Action::StripPrefixRegexp(vec!["^/r(?:[0-9]+)".into()])));
    assert_eq!(step(&result, "web-add-prefix"), Some(&Action::AddPrefix("/i".into())));
    assert_eq!(step(&result, "web-replace"), Some(&Action::ReplacePath("/f".into())));
    let replacement = Replacement { pattern: "^/i/(.*)".into(), replacement: "/z/$1".into() };
    assert_eq!(step(&result, "web-replace-regex"), Some(&Action::ReplacePathRegexp(replacement)));
}

#[test]
fn a_whole_path_has_a_route_for_its_other_slash() {
    let result = v1(&["traefik.frontend.rule=Host:a;Path:/x", "traefik.frontend.policies=p"]);
    assert_eq!(names(&result.routes), ["web", "web-slash"]);
    let slash = route(&result, "web-slash").unwrap();
    assert_eq!(slash.steps, ["web-slash"]);
    assert_eq!(step(&result, "web-slash"), Some(&Action::RedirectSlash));
    assert_eq!(slash.priority, route(&result, "web").unwrap().priority);
    assert!(slash.rule.nodes.iter().any(|node| matches!(node, RuleNode::Path(path) if path.pattern == "/x/")));
}

fn settings(result: &Contribution, name: &str) -> (String, Json) {
    match step(result, name) {
        Some(Action::Policy(policy)) => (policy.plugin.clone(), serde_json::from_str(&policy.settings).unwrap()),
        other => unreachable!("{name} is {other:?}"),
    }
}

#[test]
fn a_rate_limit_is_the_innermost_policy() {
    let result = v1(&[
        "traefik.frontend.policies=mine, edge",
        "traefik.frontend.rateLimit.extractorFunc=request.header.X-Key",
        "traefik.frontend.rateLimit.rateSet.a.period=10s",
        "traefik.frontend.rateLimit.rateSet.a.average=5",
        "traefik.frontend.rateLimit.rateSet.a.burst=7",
        "traefik.frontend.rateLimit.rateSet.b.period=3",
        "traefik.frontend.rateLimit.rateSet.b.average=1",
        "traefik.frontend.rateLimit.rateSet.b.burst=1",
        "traefik.frontend.rateLimit.rateSet.c.period=3",
        "traefik.frontend.rateLimit.rateSet.c.average=2",
        "traefik.frontend.rateLimit.rateSet.c.burst=2",
    ]);
    assert_eq!(route(&result, "web").unwrap().steps, ["mine", "edge", "web-ratelimit"]);
    let wanted = json!({
        "mode": "traefik-v1",
        "source": { "kind": "header", "name": "X-Key" },
        "rates": [
            { "average": 5, "period": "10s", "burst": 7 },
            { "average": 2, "period": 3, "burst": 2 },
        ],
    });
    assert_eq!(settings(&result, "web-ratelimit"), ("rate-limit".into(), wanted));
}

#[test]
fn rate_limits_that_are_incomplete() {
    let set = ["period=1", "average=1", "burst=1"].map(|rest| format!("traefik.frontend.rateLimit.rateSet.a.{rest}"));
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let result = v1(&set);
    assert!(route(&result, "web").unwrap().steps.is_empty(), "without a source there is no limit");
    assert_eq!(severities(&result), [Severity::Warning]);
    for missing in 0..3 {
        let mut tags = set.clone();
        tags.remove(missing);
        tags.push("traefik.frontend.rateLimit.extractorFunc=client.ip");
        assert_eq!(left_out(&tags), [Severity::Error], "{tags:?}");
    }
    for (bad, instead) in [(0, "period=0"), (1, "average=-1"), (2, "burst=many")] {
        let instead = format!("traefik.frontend.rateLimit.rateSet.a.{instead}");
        let mut tags = set.clone();
        *tags.get_mut(bad).unwrap() = &instead;
        tags.push("traefik.frontend.rateLimit.extractorFunc=client.ip");
        assert_eq!(left_out(&tags), [Severity::Error], "{tags:?}");
    }
    let mut tags = set.clone();
    tags.push("traefik.frontend.rateLimit.extractorFunc=client.port");
    assert_eq!(left_out(&tags), [Severity::Error]);
}

#[test]
fn policies_are_declared_by_tags() {
    let result = v1(&[
        "traefik.frontend.policies=limit",
        "traefik.policies.limit.plugin=rate-limit",
        "traefik.policies.limit.config.average=5",
        "traefik.policies.limit.config.source.kind=host",
    ]);
    assert_eq!(route(&result, "web").unwrap().steps, ["limit"]);
    let wanted = json!({ "average": "5", "source": { "kind": "host" } });
    assert_eq!(settings(&result, "limit"), ("rate-limit".into(), wanted));
    for declaration in ["traefik.policies.limit.config.average=5", "traefik.policies.limit.plugins=x"] {
        let found = left_out(&["traefik.frontend.policies=limit", "traefik.frontend.rule=Path:/x", declaration]);
        assert_eq!(found, [Severity::Error, Severity::Error], "the step and the route: {declaration}");
    }
}

#[test]
fn what_protects_and_cannot_be_done_costs_the_frontend() {
    assert_eq!(left_out(&["traefik.frontend.passTLSCert=true"]), [Severity::Warning, Severity::Error]);
    let result = v1(&["traefik.frontends.a.passTLSCert=true", "traefik.frontend.rule=Host:a"]);
    assert_eq!(names(&result.routes), ["web"], "only the segment is left out");
}

#[test]
fn what_protects_nothing_is_reported_and_served() {
    for option in [
        "backend.loadbalancer=drr",
        "backend.loadbalancer.method=best",
        "backend.loadbalancer.sticky=true",
        "backend.healthcheck.path=/h,traefik.backend.healthcheck.interval=10",
        "frontend.Rule=Host:other",
        "frontend.entrypoints=http",
        "frontend.passHostHeader=maybe",
        "port=9000",
        "backend=other",
        "domain=zz.test",
    ] {
        let tags = format!("traefik.{option}");
        let result = v1(&tags.split(',').collect::<Vec<_>>());
        assert!(route(&result, "web").is_some(), "{option}");
        assert_eq!(severities(&result), [Severity::Warning], "{option}: {:?}", result.diagnostics);
    }
    for option in ["frontend.headers.SSLRedirect=false", "frontend.auth.basic=", "frontend.passHostHeader=true"] {
        assert!(v1(&[&format!("traefik.{option}")]).diagnostics.is_empty(), "{option}");
    }
    let typo = v1(&["traefik.frontend.Rule=Host:other"]);
    assert!(typo.diagnostics.first().unwrap().message.contains("`rule`"), "the right spelling is named");
}

/// The only service, which has targets of its own.
fn balancer(tags: &[&str]) -> Balancer {
    v1(tags).services.first().and_then(|service| service.balancer().cloned()).unwrap()
}

#[test]
fn stickiness_needs_its_word_and_its_cookies_are_traefiks() {
    assert_eq!(balancer(&["traefik.backend.loadbalancer.stickiness.cookieName=sid"]).sticky, None);
    assert_eq!(balancer(&["traefik.backend.loadbalancer.stickiness=false"]).sticky, None);
    let named = balancer(&[
        "traefik.backend.loadbalancer.stickiness=true",
        "traefik.backend.loadbalancer.stickiness.cookieName=s id",
        "traefik.backend.loadbalancer.stickiness.secure=true",
        "traefik.backend.loadbalancer.stickiness.sameSite=lax",
    ]);
    let cookie = named.sticky.unwrap();
    assert_eq!((cookie.name.as_str(), cookie.value, cookie.path.as_str()), ("s_id", CookieValue::Url, "/"));
    assert_eq!((cookie.secure, cookie.http_only, cookie.same_site), (true, false, Some(SameSite::Lax)));
    let derived = balancer(&["traefik.backend.loadbalancer.stickiness=true"]).sticky.unwrap();
    assert_eq!(derived.name, "_40e28", "of backend-web");
    let deprecated = balancer(&["traefik.backend.loadbalancer.sticky=true"]).sticky.unwrap();
    assert_eq!(deprecated.name, "_TRAEFIK_BACKEND");
}

#[test]
fn methods_are_read_in_any_letter_case_and_the_new_key_wins() {
    let strategy = |tags: &[&str]| balancer(tags).strategy;
    assert_eq!(strategy(&["traefik.backend.loadbalancer.method=DRR"]), Strategy::Rebalancing);
    assert_eq!(strategy(&["traefik.backend.loadbalancer=drr"]), Strategy::Rebalancing);
    let both = ["traefik.backend.loadbalancer=drr", "traefik.backend.loadbalancer.method=wrr"];
    assert_eq!(strategy(&both), Strategy::RoundRobin);
    assert_eq!(balancer(&[]).unavailable, "Service Unavailable");
}

#[test]
fn health_checks_need_a_path() {
    assert_eq!(balancer(&["traefik.backend.healthcheck.interval=10s"]).health_check, None);
    let check = balancer(&[
        "traefik.backend.healthcheck.path=/h?x=1",
        "traefik.backend.healthcheck.interval=500ms",
        "traefik.backend.healthcheck.port=81",
        "traefik.backend.healthcheck.scheme=https",
        "traefik.backend.healthcheck.hostname=in.test",
        "traefik.backend.healthcheck.headers=X-A: 1||bad||X-B:",
    ])
    .health_check
    .unwrap();
    assert_eq!((check.path.as_str(), check.interval_ns, check.timeout_ns), ("/h?x=1", 500_000_000, 5_000_000_000));
    assert_eq!((check.port, check.scheme, check.host.as_str()), (Some(81), Some(Scheme::Https), "in.test"));
    let headers: Vec<_> = check.headers.iter().map(|line| (line.name.as_str(), line.value.as_str())).collect();
    assert_eq!(headers, [("X-A", "1"), ("X-B", "")]);
    assert!(check.at_once && check.passes == 1 && check.failures == 1);
    for interval in ["10", "-5s", "soon"] {
        let interval = format!("traefik.backend.healthcheck.interval={interval}");
        let check = balancer(&["traefik.backend.healthcheck.path=/", &interval]).health_check.unwrap();
        assert_eq!(check.interval_ns, 30_000_000_000, "{interval}");
    }
}

#[test]
fn weights_and_protocols_are_each_instances_own() {
    let result = contribution(
        "{}",
        &service_with(
            "web",
            &[
                &["Traefik.Weight=3"],
                &["traefik.protocol=https", "traefik.weight=heavy"],
                &["traefik.weight=9", "traefik.backend.weight=4"],
                &["traefik.weight=0", "traefik.protocol=h2c"],
                &["traefik.weight=-1"],
                &["traefik.protocol=ftp"],
            ],
        ),
    );
    let targets: Vec<_> =
        result.services.first().unwrap().targets().iter().map(|one| (one.scheme, one.weight)).collect();
    use sluice_plugin_sdk::router::Scheme::{H2c, Http, Https};
    assert_eq!(targets, [(Http, 3), (Https, 1), (Http, 4), (H2c, 1)]);
    let errors: Vec<_> = result.diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    assert_eq!(errors.iter().map(|error| error.object.as_str()).collect::<Vec<_>>(), ["instance i4", "instance i5"]);
}

#[test]
fn instances_that_disagree_are_settled_by_number_then_by_id() {
    let (a, b) = ("traefik.frontend.rule=Host:a", "traefik.frontend.rule=Host:b");
    for (tags, host) in [([a, b, b], "b"), ([a, b, a], "a")] {
        let result = contribution("{}", &service_with("web", &[&tags[..1], &tags[1..2], &tags[2..]]));
        assert_eq!(route_hosts(route(&result, "web").unwrap()), [host]);
        assert_eq!(severities(&result), [Severity::Warning]);
    }
    let result = contribution("{}", &service_with("web", &[&[b], &[a]]));
    assert_eq!(route_hosts(route(&result, "web").unwrap()), ["b"], "a tie goes to the smaller instance id");
    let result = contribution("{}", &service_with("web", &[&[b, a]]));
    assert_eq!((route_hosts(&result.routes[0]), severities(&result)), (vec!["b".into()], vec![Severity::Warning]));
    let result = contribution("{}", &service_with("web", &[&[], &[a]]));
    assert_eq!(route_hosts(route(&result, "web").unwrap()), ["a"], "one instance speaks for all");
    assert_eq!(result.services.first().unwrap().targets().len(), 2);
}

#[test]
fn nothing_accepted_contributes_nothing() {
    let mut service = service_with("web", &[&["traefik.frontend.rule=Host:a"]]);
    service.instances = vec![instance("i0", &["traefik.enable=false"])];
    let result = contribution("{}", &service);
    assert!(result.routes.is_empty() && result.services.is_empty() && result.diagnostics.is_empty());
}
