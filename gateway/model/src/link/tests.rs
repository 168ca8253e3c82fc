//! Conflicts, joins and dangling references.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::action::Action;
use crate::contribution::{Observability, RuleSpec, Scheme, Transport};
use crate::service::{Failover, ServiceKind, Share, Split, Target, WeightedServices};

pub(super) fn route(name: &str, service: &str, steps: &[&str]) -> RouteSpec {
    RouteSpec {
        name: name.into(),
        rule: RuleSpec { text: format!("rule of {name} for {service}"), ..RuleSpec::default() },
        priority: 1,
        entrypoints: vec![],
        transport: Transport::Any,
        tls_options: String::new(),
        observability: Observability::default(),
        steps: steps.iter().map(ToString::to_string).collect(),
        service: service.into(),
    }
}

pub(super) fn service(name: &str, ports: &[u16]) -> ServiceSpec {
    let target = |port: &u16| Target {
        instance: port.to_string(),
        scheme: Scheme::Http,
        address: "10.0.0.1".into(),
        port: *port,
        path: String::new(),
        weight: 1,
    };
    ServiceSpec::of_targets(name, ports.iter().map(target).collect())
}

pub(super) fn step(name: &str, action: Action) -> StepSpec {
    StepSpec { name: name.into(), action }
}

pub(super) fn declared(provider: &str, origin: &str, contribution: Contribution) -> Arc<Declared> {
    Arc::new(Declared::new(&provider.into(), origin, contribution))
}

/// Everything at once, with routes in order.
struct Everything {
    routes: Vec<LinkedRoute>,
    services: HashMap<Arc<str>, LinkedService>,
    tcp: LinkedTcp,
    problems: Vec<LinkProblem>,
}

fn link(contributions: &[Arc<Declared>]) -> Everything {
    let mut linker = Linker::default();
    contributions.iter().for_each(|one| linker.declare(Arc::clone(one)));
    linker.link();
    let Linked { routes, services, tcp, problems, .. } = linker.into_linked();
    let mut routes: Vec<_> = routes.into_values().collect();
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    Everything { routes, services, tcp, problems: problems.into_values().flatten().collect() }
}

fn one(origin: &str, routes: Vec<RouteSpec>, services: Vec<ServiceSpec>, steps: Vec<StepSpec>) -> Arc<Declared> {
    declared("file", origin, Contribution { routes, services, steps, ..Contribution::default() })
}

#[test]
fn equal_services_are_joined_target_by_target() {
    let linked = link(&[
        one("a", vec![], vec![service("web", &[1, 2])], vec![]),
        one("b", vec![], vec![service("web", &[2, 3])], vec![]),
    ]);
    let ports: Vec<u16> = linked.services["web@file"].spec.targets().iter().map(|target| target.port).collect();
    assert_eq!(ports, [1, 2, 3]);
    assert!(linked.problems.is_empty());
}

#[test]
fn a_conflict_keeps_the_definition_with_most_targets_whatever_the_order() {
    let small = one("small", vec![route("r", "s", &[])], vec![service("s", &[1])], vec![]);
    let large = one("large", vec![route("r", "l", &[])], vec![service("l", &[2, 3])], vec![]);
    for order in [[&small, &large], [&large, &small]] {
        let linked = link(&order.map(Arc::clone));
        assert_eq!(linked.routes.len(), 1);
        assert_eq!(linked.routes[0].service.as_deref(), Some("l@file"));
        assert_eq!(linked.problems.len(), 1);
        assert_eq!(&*linked.problems[0].origin, "small");
        assert!(linked.problems[0].diagnostic.message.contains("`large`"), "{:?}", linked.problems);
    }
}

#[test]
fn dangling_references_disable_only_their_route() {
    let linked = link(&[one(
        "a",
        vec![route("bad", "ghost", &["nope"]), route("good", "web", &[])],
        vec![service("web", &[1])],
        vec![],
    )]);
    let errors = |name: &str| linked.routes.iter().find(|route| &*route.name == name).unwrap().errors.clone();
    assert_eq!(errors("bad@file"), ["service `ghost` does not exist", "step `nope` does not exist"]);
    assert!(errors("good@file").is_empty());
}

#[test]
fn references_reach_other_providers_and_the_configuration() {
    let policy = |plugin: &str| Action::Policy { plugin: plugin.into(), settings: "{}".into() };
    let linked = link(&[
        declared(
            "config",
            "policies",
            Contribution { steps: vec![step("edge", policy("rate-limit"))], ..Contribution::default() },
        ),
        declared("other", "o", Contribution { services: vec![service("web", &[1])], ..Contribution::default() }),
        one("a", vec![route("r", "web@other", &["edge"])], vec![], vec![]),
    ]);
    assert!(linked.problems.is_empty(), "{:?}", linked.problems);
    assert_eq!(linked.routes[0].steps, ["edge@config".into()]);
}

#[test]
fn chains_are_unrolled_and_may_not_contain_themselves() {
    let add = |name: &str| step(name, Action::AddPrefix(format!("/{name}")));
    let chain = |name: &str, parts: &[&str]| step(name, Action::Chain(parts.iter().map(ToString::to_string).collect()));
    let linked = link(&[one(
        "a",
        vec![route("ok", "web", &["outer", "x"]), route("loop", "web", &["round"])],
        vec![service("web", &[1])],
        vec![add("x"), add("y"), chain("inner", &["y"]), chain("outer", &["x", "inner"]), chain("round", &["round"])],
    )]);
    let route = |name: &str| linked.routes.iter().find(|route| &*route.name == name).unwrap();
    let steps: Vec<&str> = route("ok@file").steps.iter().map(AsRef::as_ref).collect();
    assert_eq!(steps, ["x@file", "y@file", "x@file"]);
    assert_eq!(route("loop@file").errors, ["chain `round@file` contains itself"]);
}

#[test]
fn tcp_routes_are_linked_beside_http_ones_by_the_same_rules() {
    let target = |port: u16| crate::tcp::TcpTarget {
        instance: port.to_string(),
        address: "10.0.0.1".into(),
        port,
        tls: false,
        weight: 1,
    };
    let service = |ports: &[u16]| TcpServiceSpec {
        name: "db".into(),
        targets: ports.iter().map(|port| target(*port)).collect(),
        proxy_protocol: crate::tcp::ProxyProtocol::None,
        health_check: None,
        transport: None,
    };
    let route = |name: &str, service: &str, steps: &[&str]| TcpRouteSpec {
        name: name.into(),
        rule: RuleSpec::default(),
        priority: 1,
        entrypoints: vec![],
        tls: crate::tcp::TcpTls::Passthrough,
        tls_options: String::new(),
        steps: steps.iter().map(ToString::to_string).collect(),
        service: service.into(),
    };
    let contribution = |tcp_routes, ports: &[u16]| Contribution {
        tcp_routes,
        tcp_services: vec![service(ports)],
        ..Contribution::default()
    };
    let linked = link(&[
        declared(
            "file",
            "a",
            contribution(vec![route("db", "db@file", &[]), route("lost", "none", &["gone"])], &[1, 2]),
        ),
        declared("file", "b", contribution(vec![route("db", "other", &[])], &[2, 3])),
    ]);
    assert_eq!(linked.tcp.services["db@file"].spec.targets.len(), 3);
    let routes: Vec<_> = linked.tcp.routes.iter().map(|route| (&*route.name, route.service.as_deref())).collect();
    assert_eq!(routes, [("db@file", Some("db@file")), ("lost@file", None)]);
    assert_eq!(linked.tcp.routes[1].errors, ["tcp service `none` does not exist", "tcp step `gone` does not exist"]);
    assert_eq!(
        linked.problems.iter().map(|problem| problem.diagnostic.object.as_str()).collect::<Vec<_>>(),
        ["tcp route db@file"]
    );
    assert!(linked.routes.is_empty() && linked.services.is_empty());
}

pub(super) fn weighted(name: &str, parts: &[&str]) -> ServiceSpec {
    let parts = parts.iter().map(|part| Share { service: (*part).to_owned(), weight: 1 }).collect();
    let weighted = WeightedServices { parts, split: Split::Weighted, sticky: None, health_check: false };
    ServiceSpec { name: name.into(), kind: ServiceKind::Weighted(weighted), steps: vec![] }
}

pub(super) fn failover(name: &str, service: &str, fallback: &str) -> ServiceSpec {
    let (service, fallback) = (service.to_owned(), fallback.to_owned());
    let failover = Failover { service, fallback, statuses: vec![], most_body: 0 };
    ServiceSpec { name: name.into(), kind: ServiceKind::Failover(failover), steps: vec![] }
}

#[test]
fn services_find_their_parts_in_other_providers_too() {
    let linked = link(&[
        declared("other", "o", Contribution { services: vec![service("web", &[1])], ..Contribution::default() }),
        one(
            "a",
            vec![route("r", "mix", &[])],
            vec![weighted("mix", &["web@other", "own"]), service("own", &[2])],
            vec![],
        ),
    ]);
    let parts: Vec<_> = linked.services["mix@file"].parts.iter().map(Option::as_deref).collect();
    assert_eq!(parts, [Some("web@other"), Some("own@file")]);
    assert!(linked.problems.is_empty() && linked.routes[0].errors.is_empty(), "{:?}", linked.problems);
}

#[test]
fn missing_parts_are_left_out_where_the_rest_can_do_without() {
    let linked = link(&[one(
        "a",
        vec![
            route("most", "most", &[]),
            route("none", "none", &[]),
            route("over", "over", &[]),
            route("main", "main", &[]),
        ],
        vec![
            service("web", &[1]),
            weighted("most", &["ghost", "web"]),
            weighted("none", &["ghost"]),
            failover("over", "web", "ghost"),
            failover("main", "ghost", "web"),
        ],
        vec![],
    )]);
    let broken: Vec<&str> =
        linked.routes.iter().filter(|route| !route.errors.is_empty()).map(|route| &*route.name).collect();
    assert_eq!(broken, ["main@file", "none@file"]);
    let of = |name: &str| linked.problems.iter().filter(|problem| problem.diagnostic.object == name).count();
    assert_eq!((of("service most"), of("service none"), of("service over")), (1, 2, 1), "{:?}", linked.problems);
}

#[test]
fn services_may_not_contain_themselves() {
    let linked = link(&[one(
        "a",
        vec![route("round", "one", &[]), route("self", "self", &[]), route("fine", "fine", &[])],
        vec![
            service("web", &[1]),
            weighted("one", &["web", "two"]),
            failover("two", "web", "one"),
            weighted("self", &["self"]),
            weighted("fine", &["web", "web"]),
        ],
        vec![],
    )]);
    let errors = |name: &str| linked.routes.iter().find(|route| &*route.name == name).unwrap().errors.clone();
    assert!(errors("round@file")[0].contains("contains itself"), "{:?}", errors("round@file"));
    assert_eq!(errors("self@file"), ["service `self@file`: service `self@file` contains itself"]);
    assert!(errors("fine@file").is_empty());
}

#[test]
fn deep_nesting_is_refused_and_not_walked() {
    let mut services: Vec<_> = (0..1000).map(|at| weighted(&format!("s{at}"), &[&format!("s{}", at + 1)])).collect();
    services.push(service("s1000", &[1]));
    let linked = link(&[one("a", vec![route("deep", "s0", &[]), route("flat", "s990", &[])], services, vec![])]);
    let errors = |name: &str| linked.routes.iter().find(|route| &*route.name == name).unwrap().errors.clone();
    assert!(errors("deep@file")[0].contains("nested more than 16 deep"), "{:?}", errors("deep@file"));
    assert!(errors("flat@file").is_empty());
}

#[test]
fn a_missing_step_of_a_service_disables_its_routes() {
    let guarded = ServiceSpec { steps: vec!["auth".into()], ..service("web", &[1]) };
    let linked = link(&[one("a", vec![route("r", "web", &[])], vec![guarded], vec![])]);
    assert_eq!(linked.routes[0].errors, ["service `web@file`: step `auth` does not exist"]);
}

#[test]
fn chains_have_bounds() {
    let chain = |name: String, parts: [String; 2]| step(&name, Action::Chain(parts.to_vec()));
    let doubling = (0..15).map(|at| chain(format!("d{at}"), [format!("d{}", at + 1), format!("d{}", at + 1)]));
    let deep = (0..1000).map(|at| chain(format!("c{at}"), [format!("c{}", at + 1), "x".to_owned()]));
    let ends = [step("d15", Action::ContentType), step("c1000", Action::ContentType), step("x", Action::ContentType)];
    let steps = doubling.chain(deep).chain(ends).collect();
    let routes = vec![route("deep", "web", &["c0"]), route("wide", "web", &["d0"]), route("fine", "web", &["d8"])];
    let linked = link(&[one("a", routes, vec![service("web", &[1])], steps)]);
    let said: Vec<_> = linked.routes.iter().map(|route| (&*route.name, route.errors.join(", "))).collect();
    assert!(said[0].0 == "deep@file" && said[0].1.contains("nested more than 16 deep"), "{said:?}");
    assert_eq!(said[1], ("fine@file", String::new()));
    assert!(said[2].1.contains("more than 256 steps"), "{said:?}");
    assert!(linked.routes.iter().all(|route| route.steps.len() < 1000));
}
