#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value as Json, json};
use sluice_plugin_sdk::router::{Action, Contribution, Replacement, Scheme, Severity, Transport};

use crate::testing::{contribution, instance, names, route, route_hosts, service_with, severities, step};

const RULE: &str = "traefik.http.routers.r.rule=Host(`h.test`)";

fn v3(tags: &[&str]) -> Contribution {
    contribution("{}", &service_with("Web.Go_2", &[tags]))
}

/// With the router `r` beside, whose steps these are.
fn with_middlewares(list: &str, tags: &[&str]) -> Contribution {
    let list = format!("traefik.http.routers.r.middlewares={list}");
    v3(&[&[RULE, list.as_str()], tags].concat())
}

#[test]
fn a_router_and_the_automatic_service() {
    let result = v3(&[RULE]);
    assert_eq!((names(&result.routes), names(&result.services)), (vec!["r"], vec!["Web-Go-2"]));
    let route = route(&result, "r").unwrap();
    assert_eq!((route.service.as_str(), route.priority, route.transport), ("Web-Go-2", 14, Transport::Plain));
    assert_eq!(route.rule.text, "Host(`h.test`)");
    assert!(result.services[0].balancer().unwrap().pass_host_header);
    assert!(result.diagnostics.is_empty());
}

#[test]
fn without_routers_there_is_the_automatic_one() {
    for tags in [
        &["traefik.http.services.s.loadbalancer.passhostheader=true"][..],
        &["traefik.http.routers.r.tls"],
        &["traefik.http.middlewares.m.addprefix.prefix=/x"],
    ] {
        let result = v3(tags);
        assert_eq!(names(&result.routes), ["Web-Go-2"], "{tags:?}");
        assert_eq!(route_hosts(&result.routes[0]), ["web-go-2"], "{tags:?}");
    }
    let result = v3(&["traefik.http.routers.r=true"]);
    assert_eq!((names(&result.routes), route_hosts(&result.routes[0])), (vec!["r"], vec!["web-go-2".to_owned()]));
    let two = ["a", "b"].map(|name| format!("traefik.http.services.{name}.loadbalancer.server.port=81"));
    let result = v3(&[&two[0], &two[1]]);
    assert!(result.routes.is_empty(), "several services have no automatic router");
    assert_eq!(names(&result.services), ["a", "b"]);
}

#[test]
fn the_default_rule_is_a_template() {
    let json = r#"{"default-rule":"Host(`{{ index .Labels \"zone\" | default \"z0\" }}.{{ lower .Name }}`)"}"#;
    let host = |tags: &[&str]| {
        let result = contribution(json, &service_with("Web", &[tags]));
        route_hosts(&result.routes[0])
    };
    assert_eq!(host(&["traefik.http.routers.r=true"]), ["z0.web"]);
    assert_eq!(host(&["traefik.http.routers.r=true", "zone=eu"]), ["eu.web"]);
    let json = r#"{"prefix":"edge","default-rule":"Host(`{{ index .Labels \"traefik.host\" }}{{ index .Labels \"edge.host\" }}`)"}"#;
    for tags in [&["edge.http.routers.r=true", "edge.host=a"][..], &["edge.host=a"]] {
        let result = contribution(json, &service_with("web", &[tags]));
        assert_eq!(route_hosts(&result.routes[0]), ["aa"], "labels are Traefik's whatever the prefix: {tags:?}");
    }
}

#[test]
fn services_of_traefiks_own() {
    let of = |service: &str| v3(&[RULE, &format!("traefik.http.routers.r.service={service}")]);
    let noop = of("noop@internal");
    assert_eq!(route(&noop, "r").unwrap().service, "noop-internal");
    assert_eq!(names(&noop.services), ["Web-Go-2", "noop-internal"]);
    assert!(noop.services[1].targets().is_empty() && noop.diagnostics.is_empty());
    let api = of("api@internal");
    assert!(names(&api.routes).is_empty());
    assert_eq!(api.diagnostics[0].tag, "traefik.http.routers.r.service=api@internal");
    assert!(api.diagnostics[0].message.contains("[admin]"));
}

#[test]
fn what_is_noted_of_requests() {
    let options = ["accesslogs=false", "metrics=true", "tracing=false", "traceverbosity=minimal"];
    let tags = options.map(|option| format!("traefik.http.routers.r.observability.{option}"));
    let tags: Vec<&str> = [RULE].into_iter().chain(tags.iter().map(String::as_str)).collect();
    let result = v3(&tags);
    let noted = route(&result, "r").unwrap().observability;
    assert_eq!((noted.access_log, noted.metrics), (Some(false), Some(true)));
    assert_eq!(severities(&result), [Severity::Warning; 2], "nothing is traced");
    let silent = route(&v3(&[RULE]), "r").unwrap().observability;
    assert_eq!((silent.access_log, silent.metrics), (None, None));
}

#[test]
fn a_router_without_service_needs_a_single_one() {
    let services =
        ["traefik.http.services.a.loadbalancer.server.port=81", "traefik.http.services.b.loadbalancer.server.port=82"];
    let result = v3(&[RULE, services[0]]);
    assert_eq!(route(&result, "r").unwrap().service, "a");
    let result = v3(&[
        RULE,
        services[0],
        services[1],
        "traefik.http.routers.q.rule=Path(`/`)",
        "traefik.http.routers.q.service=b",
    ]);
    assert_eq!(names(&result.routes), ["q"]);
    assert_eq!(route(&result, "q").unwrap().service, "b");
    assert_eq!(severities(&result), [Severity::Error]);
}

#[test]
fn a_bad_router_costs_only_itself() {
    for tag in [
        "traefik.http.routers.bad.rule=Host(`a`,`b`)",
        "traefik.http.routers.bad.rule=pathPrefix(`/x`)",
        "traefik.http.routers.bad.rulesyntax=v1",
        "traefik.http.routers.bad.priority=9223372036854775807",
    ] {
        let result = v3(&[RULE, tag]);
        assert_eq!(names(&result.routes), ["r"], "{tag}");
        assert_eq!(severities(&result), [Severity::Error], "{tag}");
        assert_eq!((result.diagnostics[0].object.as_str(), result.diagnostics[0].tag.as_str()), ("route bad", tag));
    }
}

#[test]
fn router_options() {
    let result = v3(&[
        RULE,
        "traefik.http.routers.r.PRIORITY=-1",
        "traefik.http.routers.r.entryPoints= web , other",
        "traefik.http.routers.r.middlewares=a, b@file",
        "traefik.http.routers.r.service=api@file",
        "traefik.http.routers.r.tls.certresolver=le",
        "traefik.http.routers.r.tls.domains[0].main=h.test",
        "traefik.http.routers.r.observability.accesslogs=false",
    ]);
    let route = route(&result, "r").unwrap();
    assert_eq!((route.priority, route.transport, route.service.as_str()), (-1, Transport::Tls, "api@file"));
    assert_eq!((route.entrypoints.join(" "), route.steps.join(" ")), ("web other".into(), "a b@file".into()));
    assert_eq!(severities(&result), [Severity::Warning; 2], "certificates are not a router's business");
    assert_eq!(route.tls_options, "");
    let mtls = v3(&[RULE, "traefik.http.routers.r.tls.options=mtls@file"]);
    assert_eq!((mtls.routes[0].tls_options.as_str(), mtls.routes[0].transport), ("mtls@file", Transport::Tls));
    let off = v3(&[RULE, "traefik.http.routers.r.tls=false", "traefik.http.routers.r.tls.certresolver=le"]);
    assert_eq!(off.routes[0].transport, Transport::Plain);
    let v2 = v3(&["traefik.http.routers.r.rule=Host(`a`,`b`)", "traefik.http.routers.r.ruleSyntax=v2"]);
    assert_eq!(route_hosts(&v2.routes[0]), ["a", "b"]);
    let both = |json| {
        names(
            &contribution(
                json,
                &service_with(
                    "web",
                    &[&[
                        "traefik.http.routers.two.rule=Host(`a`,`b`)",
                        "traefik.http.routers.three.rule=Host(`a`) && PathRegexp(`x`)",
                        "traefik.http.routers.three.rulesyntax=v3",
                    ]],
                ),
            )
            .routes,
        )
        .join(" ")
    };
    assert_eq!((both(""), both(r#"{"rule-syntax":"v2"}"#)), ("three".to_owned(), "three two".to_owned()));
}

#[test]
fn entrypoints_that_do_not_exist() {
    let json = r#"{"entrypoints":[{"name":"web"}]}"#;
    let with = |value: &str| {
        let tag = format!("traefik.http.routers.r.entrypoints={value}");
        contribution(json, &service_with("web", &[&[RULE, &tag]]))
    };
    let some = with("web,nope");
    assert_eq!((some.routes[0].entrypoints.join(","), severities(&some)), ("web".into(), vec![Severity::Warning]));
    let none = with("nope");
    assert!(none.routes.is_empty());
    assert_eq!(severities(&none), [Severity::Error]);
}

#[test]
fn a_tag_that_does_not_decode_costs_its_instance_and_no_other() {
    for tag in [
        "traefik.http.routers.r1.rules=Host(`x`)",
        "traefik.http.routers.r1.priority=high",
        "traefik.http.routers..rule=Host(`x`)",
        "traefik.httpx.routers.r1.rule=Host(`x`)",
        "traefik.http.middlewares.m.unknown.a=1",
        "traefik.http.services.s.loadbalancer=true",
        "traefik.http.services.s.loadbalancer.server.port=no",
        "traefik.http.services.s.loadbalancer.server.scheme=ftp",
        "traefik.http.services.s.weighted.services[0].nom=a",
        "traefik.http.services.s=true",
        "traefik.http.services.s.middlewares=m",
        "traefik.enabled=true",
        "traefik.enable=yes",
        "traefik.consulcatalog.connect=true",
    ] {
        let result = contribution("{}", &service_with("web", &[&[RULE, tag], &[RULE]]));
        assert_eq!(names(&result.routes), ["r"], "{tag}");
        let ids: Vec<_> = result.services[0].targets().iter().map(|target| target.instance.as_str()).collect();
        assert_eq!(ids, ["i1"], "{tag}");
        assert_eq!(result.diagnostics.len(), 1, "{tag}: {:?}", result.diagnostics);
        assert_eq!((result.diagnostics[0].object.as_str(), result.diagnostics[0].tag.as_str()), ("instance i0", tag));
    }
}

#[test]
fn servers() {
    let target = |options: &[&str]| {
        let tags: Vec<_> =
            options.iter().map(|rest| format!("traefik.http.services.s.loadbalancer.server.{rest}")).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let result = v3(&tags);
        let target = result.services.first().map(|service| service.targets()[0].clone());
        target.map(|target| (target.scheme, target.address, target.port, target.weight))
    };
    let at = |scheme, address: &str, port, weight| Some((scheme, address.to_owned(), port, weight));
    assert_eq!(target(&["port=81", "scheme=h2c", "weight=5"]), at(Scheme::H2c, "10.0.0.1", 81, 5));
    assert_eq!(target(&["weight=0"]), at(Scheme::Http, "10.0.0.1", 80, 0));
    assert_eq!(target(&["weight=-2"]), at(Scheme::Http, "10.0.0.1", 80, 0));
    assert_eq!(target(&["url=https://a.test/x"]), at(Scheme::Https, "a.test", 443, 1));
    assert_eq!(target(&["url=http://[fd00::5]:90"]), at(Scheme::Http, "fd00::5", 90, 1));
    assert_eq!(target(&["url=http://a:1/", "preservepath=true"]), at(Scheme::Http, "a", 1, 1));
    for bad in [
        &["url=http://a:1", "port=81"][..],
        &["url=http://a:1", "scheme=http"],
        &["url=http://a/../x", "preservepath=true"],
        &["url=a.test"],
        &["url=http://:80"],
        &["url=http://u@a"],
        &["url=http://a:x"],
    ] {
        assert_eq!(target(bad), None, "{bad:?}");
    }
}

#[test]
fn middlewares_become_steps() {
    for (option, wanted) in [
        ("addprefix.prefix=x", Action::AddPrefix("/x".into())),
        ("addprefix.prefix=/x", Action::AddPrefix("/x".into())),
        ("stripprefix.prefixes=/m, /m/n", Action::StripPrefix(vec!["/m".into(), "/m/n".into()])),
        ("StripPrefixRegex.regex=^/r[0-9]+", Action::StripPrefixRegexp(vec!["^/r[0-9]+".into()])),
        ("replacepath.path=/f", Action::ReplacePath("/f".into())),
        ("chain.middlewares=a,b", Action::Chain(vec!["a".into(), "b".into()])),
    ] {
        let tag = format!("traefik.http.middlewares.m.{option}");
        assert_eq!(step(&with_middlewares("m", &[&tag]), "m"), Some(&wanted), "{option}");
    }
    let result = with_middlewares(
        "m",
        &[
            "traefik.http.middlewares.m.replacepathregex.regex=^/old/(.*)",
            "traefik.http.middlewares.m.replacepathregex.replacement=/new/$1x",
        ],
    );
    let replacement = Replacement { pattern: "^/old/(.*)".into(), replacement: "/new/$1x".into() };
    assert_eq!(step(&result, "m"), Some(&Action::ReplacePathRegexp(replacement)));
}

fn policy(options: &[&str]) -> Option<(String, Json)> {
    let tags: Vec<_> = options.iter().map(|rest| format!("traefik.http.middlewares.m.{rest}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    match step(&with_middlewares("m", &tags), "m") {
        Some(Action::Policy(policy)) => Some((policy.plugin.clone(), serde_json::from_str(&policy.settings).unwrap())),
        None => None,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn rate_limits() {
    let limit = |settings| Some(("rate-limit".to_owned(), settings));
    let client = json!({ "kind": "client-ip" });
    for (options, wanted) in [
        (&["ratelimit.average=10"][..], json!({ "mode": "traefik-v3", "average": 10, "burst": 1, "source": client })),
        (
            &["ratelimit.average=1", "ratelimit.period=10s", "ratelimit.burst=5"],
            json!({ "mode": "traefik-v3", "average": 1, "period": "10s", "burst": 5, "source": client }),
        ),
        (
            &["ratelimit.burst=-3", "ratelimit.period=0"],
            json!({ "mode": "traefik-v3", "average": 0, "burst": 1, "source": client }),
        ),
        (
            &["ratelimit.average=1", "ratelimit.period=60", "ratelimit.sourcecriterion.requestheadername=X-Key"],
            json!({ "mode": "traefik-v3", "average": 1, "period": 60, "burst": 1, "source": { "kind": "header", "name": "X-Key" } }),
        ),
        (
            &["ratelimit.average=1", "ratelimit.redis.endpoints=a:6379,b:6379", "ratelimit.redis.db=1"],
            json!({ "mode": "traefik-v3", "average": 1, "burst": 1, "source": client }),
        ),
        (
            &["ratelimit.average=1", "ratelimit.sourcecriterion.requesthost=true"],
            json!({ "mode": "traefik-v3", "average": 1, "burst": 1, "source": { "kind": "host" } }),
        ),
        (
            &["ratelimit.average=1", "ratelimit.sourcecriterion.ipstrategy=true"],
            json!({ "mode": "traefik-v3", "average": 1, "burst": 1, "source": client }),
        ),
    ] {
        assert_eq!(policy(options), limit(wanted), "{options:?}");
    }
    for broken in [
        &["ratelimit.average=-1"][..],
        &["ratelimit.average=1", "ratelimit.period=-1s"],
        &[
            "ratelimit.average=1",
            "ratelimit.sourcecriterion.requesthost=true",
            "ratelimit.sourcecriterion.requestheadername=a",
        ],
    ] {
        assert_eq!(policy(broken), None, "{broken:?}");
    }
}

#[test]
fn plugins_get_their_settings_as_written() {
    let wanted = json!({ "Average": "5", "source": { "kind": "host" }, "list": ["a", "b"] });
    let options =
        ["Average=5", "source.kind=host", "list[1]=b", "list[0]=a"].map(|rest| format!("plugin.my-limit.{rest}"));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    assert_eq!(policy(&options), Some(("my-limit".into(), wanted)));
    assert_eq!(policy(&["plugin.bare=true"]), Some(("bare".into(), json!({}))));
    assert_eq!(policy(&["plugin.a.x=1", "plugin.b.x=1"]), None);
}

#[test]
fn a_middleware_that_cannot_be_used_costs_its_routers() {
    for tags in [
        &["traefik.http.middlewares.m.basicauth.users=a"][..],
        &["traefik.http.middlewares.m.headers.framedeny=false"],
        &["traefik.http.middlewares.m.addprefix.prefix="],
        &["traefik.http.middlewares.m.addprefix.prefix=/a", "traefik.http.middlewares.m.replacepath.path=/b"],
        &["traefik.http.middlewares.m=true"],
        &["traefik.http.middlewares.m.chain.middlewares=x", "traefik.http.middlewares.x.retry.attempts=0"],
    ] {
        let result = with_middlewares("m", &[tags, &["traefik.http.routers.other.rule=Path(`/`)"]].concat());
        assert_eq!(names(&result.routes), ["other"], "{tags:?}");
        assert!(result.diagnostics.iter().any(|found| found.object == "step m" && found.severity == Severity::Error));
        assert!(result.diagnostics.iter().any(|found| found.object == "route r" && found.severity == Severity::Error));
    }
    let unused = v3(&[RULE, "traefik.http.middlewares.m.basicauth.users=a"]);
    assert_eq!(names(&unused.routes), ["r"]);
    let elsewhere = with_middlewares("ghost", &[]);
    assert_eq!(names(&elsewhere.routes), ["r"], "whether it exists is known to the linker only");
}

#[test]
fn udp_is_reported_and_has_no_automatic_router() {
    let udp = "traefik.udp.routers.u.service=s";
    let alone = v3(&[udp]);
    assert!(alone.routes.is_empty() && alone.services.is_empty());
    assert_eq!(severities(&alone), [Severity::Error]);
    let beside = v3(&[udp, RULE]);
    assert_eq!((names(&beside.routes), severities(&beside)), (vec!["r"], vec![Severity::Error]));
}

#[test]
fn canaries_are_named_by_their_tags() {
    let canary = v3(&["traefik.consulcatalog.canary=true", "traefik.http.routers.r.rule=Path(`/`)"]);
    let other = v3(&["traefik.consulcatalog.canary=true", "traefik.http.routers.r.rule=Path(`/x`)"]);
    assert_ne!(canary.services[0].name, other.services[0].name);
    assert_eq!(super::fnv1(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(super::fnv1(b"a"), 0xaf63_bd4c_8601_b7be, "the published value of FNV-1, not of FNV-1a");
    let hash = super::fnv1("traefik.consulcatalog.canary=truetraefik.http.routers.r.rule=Path(`/`)".as_bytes());
    assert_eq!(canary.services[0].name, format!("Web-Go-2-{hash}"));
}

#[test]
fn instances_are_merged() {
    let weight = |number: u8| format!("traefik.http.services.s.loadbalancer.server.weight={number}");
    let (three, one) = (weight(3), weight(1));
    let result = contribution("{}", &service_with("web", &[&[&three], &[&one]]));
    let weights: Vec<_> = result.services[0].targets().iter().map(|target| target.weight).collect();
    assert_eq!((weights, result.diagnostics.len()), (vec![3, 1], 0));

    let (old, new) = (RULE, "traefik.http.routers.r.rule=Host(`new.test`)");
    let result = contribution("{}", &service_with("web", &[&[old], &[new], &[new]]));
    assert_eq!((names(&result.routes), route_hosts(&result.routes[0])), (vec!["r"], vec!["new.test".to_owned()]));
    assert_eq!(result.services[0].targets().len(), 3, "no instance is lost in a rolling deploy");
    assert_eq!(severities(&result), [Severity::Warning]);
}

#[test]
fn one_service_may_have_instances_of_both_dialects() {
    let result = contribution("{}", &service_with("web", &[&["traefik.frontend.rule=Host:old.test"], &[RULE]]));
    assert_eq!(names(&result.routes), ["r", "web"]);
    assert_eq!((names(&result.services), result.services[0].targets().len()), (vec!["web"], 2));
}

#[test]
fn names_keep_their_first_spelling() {
    let result = v3(&["traefik.http.routers.Web.rule=Host(`h`)", "traefik.http.routers.web.entrypoints=a"]);
    assert_eq!((names(&result.routes), result.routes[0].entrypoints.join("")), (vec!["Web"], "a".into()));
}

#[test]
fn nothing_accepted_contributes_nothing() {
    let mut service = service_with("web", &[]);
    service.instances = vec![instance("i0", &[RULE, "traefik.enable=false"])];
    let result = contribution("{}", &service);
    assert!(result.routes.is_empty() && result.services.is_empty() && result.diagnostics.is_empty());
}

#[test]
fn what_is_read_over_is_reported() {
    for tag in ["traefik.tls.stores.default.defaultcertificate.certfile=a", "traefik.http.serverstransports.t.a=b"] {
        assert_eq!(severities(&v3(&[RULE, tag])), [Severity::Warning], "{tag}");
    }
    let mixed = v3(&[RULE, "traefik.frontend.rule=Host:a"]);
    assert_eq!((names(&mixed.routes), severities(&mixed)), (vec!["r"], vec![Severity::Warning]));
}
