//! Whatever the changes and their order, a generation compiled step by step is the one compiled from nothing, and
//! nothing in it belongs to an earlier one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use sluice_model::link::{Declared, Linker};
use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView};
use sluice_model::service::{Failover, Mirror, Mirroring, Share, Split, WeightedServices};
use sluice_model::tcp::{ProxyProtocol, TcpAction, TcpRouteSpec, TcpServiceSpec, TcpStepSpec, TcpTarget, TcpTls};
use sluice_model::{
    Action, Balancer, Contribution, Observability, PathView, RouteSpec, RuleNode, RuleSpec, Scheme, ServiceKind,
    ServiceSpec, Target, Transport,
};

use super::*;
use crate::control::Tracker;
use crate::live::{Kind, Live, Service};
use crate::state::{Checks, Instances, Registry, Services, SystemClock};

const CONFIG: &str = r#"
[entrypoints.web]
address = "127.0.0.1:8000"

[entrypoints.secure]
address = "127.0.0.1:8443"
tls = {}
steps = ["m0@one"]

[tls.options.strict]
min-version = "1.3"

[[policies]]
name = "guard"
plugin = "rate-limit"
attach = ["service:s1", "route:r2"]
"#;

fn parts() -> Parts {
    let config = Arc::new(Config::parse("test", CONFIG).unwrap());
    let clock = Arc::new(SystemClock::default());
    Parts {
        live: Live::new(config.entrypoints.len()),
        engine: sluice_wasm::Engine::new(None).unwrap(),
        state: Arc::new(Registry::new(Arc::clone(&clock) as _)),
        instances: Arc::new(Instances::default()),
        services: Arc::new(Services::new(Arc::clone(&clock) as _)),
        checks: Arc::new(Checks::new(clock).0),
        telemetry: Arc::new(Telemetry::new(&config, 1).unwrap()),
        tracker: Arc::new(Tracker::default()),
        config,
    }
}

/// Few names, so that they meet.
fn name(letter: &'static str) -> impl Strategy<Value = String> {
    (0..4_u8).prop_map(move |at| format!("{letter}{at}"))
}

/// As tags refer to things: mostly without a provider.
fn reference(letter: &'static str) -> impl Strategy<Value = String> {
    (name(letter), prop_oneof![12 => Just(""), 1 => Just("@one"), 1 => Just("@two")])
        .prop_map(|(name, provider)| name + provider)
}

fn references(letter: &'static str) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(reference(letter), 0..2)
}

fn entrypoints() -> impl Strategy<Value = Vec<String>> {
    let some = prop::sample::select(vec![&[][..], &[], &["web"], &["secure"], &["web", "secure"], &["ghost"]]);
    some.prop_map(|names| names.iter().map(|&name| name.to_owned()).collect())
}

fn some_step() -> impl Strategy<Value = StepSpec> {
    let action = prop_oneof![
        3 => (0..2_u8).prop_map(|at| Action::AddPrefix(format!("/{at}"))),
        1 => Just(Action::StripPrefixRegexp(vec!["(".into()])),
        2 => references("m").prop_map(Action::Chain),
        1 => Just(Action::Policy { plugin: "ghost".into(), settings: "{}".into() }),
    ];
    (name("m"), action).prop_map(|(name, action)| StepSpec { name, action })
}

fn balancer() -> impl Strategy<Value = ServiceKind> {
    let transport = prop::option::weighted(0.1, Just("ghost".to_owned()));
    (prop::collection::vec(1..4_u16, 0..3), transport, any::<bool>()).prop_map(
        |(ports, transport, pass_host_header)| {
            let targets = ports.into_iter().map(|port| Target {
                instance: port.to_string(),
                scheme: Scheme::Http,
                address: "10.0.0.1".into(),
                port,
                path: String::new(),
                weight: u32::from(port),
            });
            let (targets, other) = (targets.collect(), Balancer::default());
            ServiceKind::Balancer(Box::new(Balancer { targets, transport, pass_host_header, ..other }))
        },
    )
}

fn some_service() -> impl Strategy<Value = ServiceSpec> {
    let share = reference("s").prop_map(|service| Share { service, weight: 1 });
    let weighted = prop::collection::vec(share, 1..3).prop_map(|parts| WeightedServices {
        parts,
        split: Split::Weighted,
        sticky: None,
        health_check: false,
    });
    let mirror = reference("s").prop_map(|service| Mirror { service, percent: 10 });
    let kind = prop_oneof![
        4 => balancer(),
        2 => weighted.prop_map(ServiceKind::Weighted),
        1 => (reference("s"), reference("s")).prop_map(|(service, fallback)| {
            ServiceKind::Failover(Failover { service, fallback, statuses: vec![], most_body: 1 })
        }),
        1 => (reference("s"), prop::collection::vec(mirror, 0..2)).prop_map(|(service, mirrors)| {
            ServiceKind::Mirroring(Mirroring { service, mirrors, mirror_body: true, most_body: 1 })
        }),
    ];
    let steps = prop::option::weighted(0.2, reference("m"));
    (name("s"), kind, steps).prop_map(|(name, kind, step)| ServiceSpec { name, kind, steps: Vec::from_iter(step) })
}

/// The last pattern is none.
fn rule() -> impl Strategy<Value = RuleSpec> {
    let host = prop::sample::select(vec!["a.test", "b.test", "*.test", "*"]);
    let path = prop::sample::select(vec!["/", "/a", "/a/b"]);
    (host, path, prop::option::weighted(0.1, Just("("))).prop_map(|(host, path, pattern)| {
        let path = RuleNode::PathPrefix(path.to_owned(), PathView::Routing);
        let mut nodes = vec![RuleNode::Host(host.to_owned()), path];
        nodes.extend(pattern.map(|pattern| RuleNode::HostRegexp(pattern.to_owned())));
        nodes.push(RuleNode::All((0..u32::try_from(nodes.len()).unwrap()).collect()));
        RuleSpec { text: host.to_owned(), root: u32::try_from(nodes.len() - 1).unwrap(), nodes }
    })
}

fn some_route() -> impl Strategy<Value = RouteSpec> {
    let transport = prop::sample::select(vec![Transport::Any, Transport::Plain, Transport::Tls]);
    let options = prop::sample::select(vec!["", "", "", "", "strict", "ghost"]);
    let refers = (reference("s"), references("m"));
    (name("r"), rule(), 0..3_i64, entrypoints(), transport, options, refers).prop_map(
        |(name, rule, priority, entrypoints, transport, options, (service, steps))| RouteSpec {
            name,
            rule,
            priority,
            entrypoints,
            transport,
            tls_options: options.to_owned(),
            steps,
            service,
            observability: Observability::default(),
        },
    )
}

fn some_tcp_route() -> impl Strategy<Value = TcpRouteSpec> {
    let tls = prop::sample::select(vec![TcpTls::None, TcpTls::Terminate, TcpTls::Passthrough]);
    let host = prop::sample::select(vec!["a.test", "*"]);
    (name("t"), host, entrypoints(), tls, reference("u"), references("n")).prop_map(
        |(name, host, entrypoints, tls, service, steps)| TcpRouteSpec {
            name,
            rule: RuleSpec { text: host.to_owned(), nodes: vec![RuleNode::Host(host.to_owned())], root: 0 },
            priority: 1,
            entrypoints,
            tls,
            tls_options: String::new(),
            steps,
            service,
        },
    )
}

fn some_tcp_service() -> impl Strategy<Value = TcpServiceSpec> {
    let transport = prop::option::weighted(0.1, Just("ghost".to_owned()));
    (name("u"), prop::collection::vec(1..4_u16, 0..3), transport).prop_map(|(name, ports, transport)| {
        let targets = ports.into_iter().map(|port| TcpTarget {
            instance: port.to_string(),
            address: "10.0.0.1".into(),
            port,
            tls: false,
            weight: 1,
        });
        let targets = targets.collect();
        TcpServiceSpec { name, targets, proxy_protocol: ProxyProtocol::None, health_check: None, transport }
    })
}

fn some_tcp_step() -> impl Strategy<Value = TcpStepSpec> {
    let action = prop_oneof![
        (1..3_u64).prop_map(TcpAction::InFlight),
        prop::sample::select(vec!["10.0.0.0/8", "no address"])
            .prop_map(|range| TcpAction::AllowList(vec![range.to_owned()])),
    ];
    (name("n"), action).prop_map(|(name, action)| TcpStepSpec { name, action })
}

fn contribution() -> impl Strategy<Value = Contribution> {
    let requests = (
        prop::collection::vec(some_route(), 0..4),
        prop::collection::vec(some_service(), 2..6),
        prop::collection::vec(some_step(), 1..5),
    );
    let tcp = (
        prop::collection::vec(some_tcp_route(), 0..3),
        prop::collection::vec(some_tcp_service(), 1..4),
        prop::collection::vec(some_tcp_step(), 1..4),
    );
    let tcp = prop_oneof![2 => Just((vec![], vec![], vec![])), 1 => tcp];
    (requests, tcp).prop_map(|((routes, services, steps), (tcp_routes, tcp_services, tcp_steps))| Contribution {
        routes,
        services,
        steps,
        tcp_routes,
        tcp_services,
        tcp_steps,
        diagnostics: Vec::new(),
    })
}

/// What becomes of a catalog service.
#[derive(Clone, Debug)]
enum What {
    /// It comes, or says something else.
    Says(Contribution),
    /// It says the same of instances elsewhere.
    Moves,
    Goes,
}

#[derive(Clone, Debug)]
struct Change {
    provider: &'static str,
    origin: String,
    what: What,
    /// Whether a generation is published after it.
    publishes: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let provider = prop::sample::select(vec!["one", "one", "two"]);
    let what = prop_oneof![4 => contribution().prop_map(What::Says), 4 => Just(What::Moves), 1 => Just(What::Goes)];
    (provider, name("o"), what, any::<bool>()).prop_map(|(provider, origin, what, publishes)| Change {
        provider,
        origin,
        what,
        publishes,
    })
}

fn moved(mut contribution: Contribution) -> Contribution {
    let balancers = contribution.services.iter_mut().filter_map(|service| match &mut service.kind {
        ServiceKind::Balancer(balancer) => Some(balancer),
        _ => None,
    });
    balancers.flat_map(|balancer| &mut balancer.targets).for_each(|target| target.port += 10);
    contribution.tcp_services.iter_mut().flat_map(|service| &mut service.targets).for_each(|target| target.port += 10);
    contribution
}

/// What `Control` keeps from one generation to the next.
struct World {
    linker: Linker,
    compiler: Compiler,
    policies: Policies,
    problems: BTreeMap<Place, Vec<String>>,
}

impl World {
    fn new(parts: &Parts) -> Self {
        let mut linker = Linker::default();
        linker.declare(configured::declared(&parts.config));
        let policies = Policies::new(Arc::clone(&parts.state));
        Self { linker, compiler: Compiler::new(parts), policies, problems: BTreeMap::new() }
    }

    /// As after a change of the catalog, or where anything may differ.
    fn publish(&mut self, anew: bool) -> Generation {
        let mut touched = self.linker.link();
        if anew {
            touched.add(self.linker.everything());
        }
        let (generation, problems) = self.compiler.compile(self.linker.linked(), &touched, &self.policies, "test");
        for (place, found) in problems {
            self.problems.insert(place, found.into_iter().map(|problem| format!("{problem:?}")).collect());
        }
        self.problems.retain(|_, found| !found.is_empty());
        generation
    }
}

struct NoHeaders;

impl HeaderValues for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// Everything a generation says, by what it is about.
fn picture(generation: &Generation) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    let mut show = |what: String, said: &dyn Debug| drop(shown.insert(what, format!("{said:?}")));
    for (name, status) in generation.routes.iter() {
        let compiled = status.route.as_ref().map(|route| (&route.spec, &route.rule, &route.chain, &route.service.name));
        let names = (&status.steps, &status.chain, &status.entrypoints);
        let said = (&status.spec, &status.origin, names, compiled, &status.errors, &status.warnings);
        show(format!("route {name}"), &said);
    }
    for (name, service) in generation.services.iter() {
        show(format!("service {name}"), &(&service.spec, &service.chain, parts_of(service), endpoints(service)));
    }
    generation.broken_services.iter().for_each(|(name, error)| show(format!("broken service {name}"), error));
    generation.steps.iter().for_each(|(name, step)| show(format!("step {name}"), step));
    generation.broken_steps.iter().for_each(|(name, error)| show(format!("broken step {name}"), error));
    for status in &generation.tcp.routes {
        let compiled = status.route.as_ref().map(|route| (&route.spec, &route.rule, route.options, route.steps.len()));
        let said = (&status.spec, &status.origin, &status.steps, &status.entrypoints, compiled);
        show(format!("tcp route {}", status.name), &(said, &status.errors, &status.warnings));
    }
    generation.tcp.services.iter().for_each(|(name, service)| show(format!("tcp service {name}"), &service.spec));
    generation.tcp.steps.iter().for_each(|(name, step)| show(format!("tcp step {name}"), step));
    for (at, entrypoint) in generation.entrypoints.iter().enumerate() {
        let ranked = |table: &sluice_model::table::RouteTable<Arc<Route>>| {
            table.iter().map(|(_, route)| Arc::clone(&route.name)).collect::<Vec<_>>()
        };
        let tcp = entrypoint.tcp.as_ref().map(|tables| {
            [&tables.plain, &tables.tls].map(|table| table.iter().map(|(_, route)| &route.name).collect::<Vec<_>>())
        });
        let tables = (ranked(&entrypoint.table), entrypoint.secure.as_ref().map(ranked), tcp);
        let hosts = ["a.test", "b.test", "x.test", "other"].map(|host| entrypoint.tls.options(host));
        let broken = entrypoint.broken.as_ref().map(|broken| (&broken.reason, broken.may_come));
        show(format!("entrypoint {at}"), &(tables, hosts, &entrypoint.prelude_names, broken, answers(entrypoint)));
    }
    shown
}

/// Which route answers each of some requests, over plain connections and over TLS.
fn answers(entrypoint: &crate::live::EntrypointTable) -> Vec<Option<Arc<str>>> {
    let hosts = ["a.test", "b.test", "x.test", "other"];
    let targets = hosts.into_iter().flat_map(|host| ["/", "/a", "/a/b/c"].map(|path| (host, path)));
    let each = targets.flat_map(|(host, path)| {
        let path = NormalPath::parse(path).unwrap();
        [false, true].map(|is_tls| {
            let (headers, client) = (&NoHeaders, [127, 0, 0, 1].into());
            let request = RequestView { host, path: &path, query: None, method: "GET", headers, client };
            entrypoint.routes(is_tls).find(&request).map(|route| Arc::clone(&route.name))
        })
    });
    each.collect()
}

fn endpoints(service: &Service) -> Vec<String> {
    match &service.kind {
        Kind::Balancer(balancer) => balancer
            .endpoints
            .iter()
            .map(|endpoint| format!("{} {} {:?}", endpoint.url, endpoint.weight, balancer.method))
            .collect(),
        _ => Vec::new(),
    }
}

fn parts_of(service: &Service) -> Vec<&Arc<str>> {
    service.parts().into_iter().map(|part| &part.name).collect()
}

/// Whatever refers to something refers to what this generation has under that name.
fn check_is_whole(generation: &Generation) -> Result<(), TestCaseError> {
    let is_current = |service: &Arc<Service>| {
        generation.services.get(&service.name).is_some_and(|current| Arc::ptr_eq(current, service))
    };
    for (name, service) in generation.services.iter() {
        prop_assert!(service.parts().into_iter().all(is_current), "parts of {}", name);
    }
    for (name, status) in generation.routes.iter() {
        prop_assert!(status.route.as_ref().is_none_or(|route| is_current(&route.service)), "service of {}", name);
    }
    let is_current = |route: &Arc<Route>| {
        let current = generation.routes.get(&route.name).and_then(|status| status.route.as_ref());
        current.is_some_and(|current| Arc::ptr_eq(current, route))
    };
    for entrypoint in &generation.entrypoints {
        let tables = std::iter::once(&entrypoint.table).chain(&entrypoint.secure);
        prop_assert!(tables.flat_map(sluice_model::table::RouteTable::iter).all(|(_, route)| is_current(route)));
    }
    let tcp = generation.tcp.routes.iter().filter_map(|status| status.route.as_ref());
    for route in tcp {
        let current = generation.tcp.services.get(&route.service.name);
        prop_assert!(current.is_some_and(|current| Arc::ptr_eq(current, &route.service)), "service of {}", route.name);
    }
    Ok(())
}

/// Where nothing differs, everything is shared, whatever is compiled again.
fn check_is_shared(made: &Generation, again: &Generation) -> Result<(), TestCaseError> {
    for (name, service) in made.services.iter() {
        prop_assert!(again.services.get(name).is_some_and(|same| Arc::ptr_eq(same, service)), "service {}", name);
    }
    for (name, status) in made.routes.iter() {
        let after = again.routes.get(name).and_then(|status| status.route.as_ref());
        prop_assert!(status.route.as_ref().map(Arc::as_ptr) == after.map(Arc::as_ptr), "route {}", name);
    }
    Ok(())
}

/// What the generations had that were looked at, so that the test cannot be about nothing.
#[derive(Default)]
struct Had {
    routes: usize,
    tcp_routes: usize,
    composites: usize,
}

impl Had {
    fn count(&mut self, generation: &Generation) {
        self.routes += generation.routes.values().filter(|status| status.route.is_some()).count();
        self.tcp_routes += generation.tcp.routes.iter().filter(|status| status.route.is_some()).count();
        self.composites += generation.services.values().filter(|service| !service.parts().is_empty()).count();
    }
}

fn check(parts: &Parts, changes: Vec<Change>, had: &mut Had) -> Result<(), TestCaseError> {
    let mut world = World::new(parts);
    let mut all: BTreeMap<(&'static str, String), Contribution> = BTreeMap::new();
    let declared = |provider: &str, origin: &str, contribution: &Contribution| {
        Arc::new(Declared::new(&provider.into(), origin, contribution.clone()))
    };
    for Change { provider, origin, what, publishes } in changes {
        let says = match what {
            What::Says(contribution) => Some(contribution),
            What::Moves => all.get(&(provider, origin.clone())).cloned().map(moved),
            What::Goes => None,
        };
        match says {
            Some(contribution) => {
                world.linker.declare(declared(provider, &origin, &contribution));
                all.insert((provider, origin), contribution);
            }
            None => {
                world.linker.retract(&provider.into(), &origin.as_str().into());
                all.remove(&(provider, origin));
            }
        }
        if !publishes {
            continue;
        }
        let made = world.publish(false);
        let mut fresh = World::new(parts);
        for ((provider, origin), contribution) in &all {
            fresh.linker.declare(declared(provider, origin, contribution));
        }
        let wanted = fresh.publish(true);
        prop_assert_eq!(picture(&made), picture(&wanted));
        prop_assert_eq!(&world.problems, &fresh.problems);
        check_is_whole(&made)?;
        had.count(&made);
    }
    // Only now: what is compiled all over again would hide what a change forgot.
    let last = world.publish(false);
    check_is_shared(&last, &world.publish(true))
}

#[test]
fn a_generation_made_step_by_step_is_the_one_made_from_nothing() {
    let (parts, had) = (parts(), std::cell::RefCell::new(Had::default()));
    let mut runner = TestRunner::new(Cases { cases: 1_000, failure_persistence: None, ..Cases::default() });
    let all =
        runner.run(&prop::collection::vec(change(), 1..24), |changes| check(&parts, changes, &mut had.borrow_mut()));
    all.unwrap_or_else(|error| unreachable!("{error}"));
    let Had { routes, tcp_routes, composites } = had.into_inner();
    assert!(routes > 500 && tcp_routes > 100 && composites > 300, "{routes} {tcp_routes} {composites}");
}
