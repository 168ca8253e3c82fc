//! What linking and looking up cost with many services: `cargo run --release --package sluice-model --example cost`.
//!
//! Prints `name value` lines, times in nanoseconds of this thread's CPU. `cargo xtask bench catalog` shows them.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement speaks through the standard output")]

use std::net::IpAddr;
use std::sync::Arc;

use sluice_model::link::{Declared, Linker};
use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView, Rule};
use sluice_model::table::{Entry, RouteTable};
use sluice_model::{
    Contribution, Observability, PathView, RouteSpec, RuleNode, RuleSpec, Scheme, ServiceSpec, Target, Transport,
};

const SERVICES: usize = 10_000;
const CHANGES: usize = 1_000;
const LOOKUPS: usize = 200_000;

struct NoHeaders;

impl HeaderValues for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// A service on a host of its own, or below a path of a host it shares with nine others.
fn contribution(number: usize, port: u16) -> Contribution {
    let name = format!("service-{number}");
    let (host, path) = match number % 2 {
        0 => (format!("{name}.example.test"), "/".to_owned()),
        _ => (format!("shared-{}.example.test", number / 20), format!("/{name}/")),
    };
    let nodes = vec![RuleNode::Host(host), RuleNode::PathPrefix(path, PathView::Routing), RuleNode::All(vec![0, 1])];
    let route = RouteSpec {
        name: name.clone(),
        rule: RuleSpec { text: String::new(), nodes, root: 2 },
        priority: 20,
        entrypoints: Vec::new(),
        transport: Transport::Any,
        tls_options: String::new(),
        observability: Observability::default(),
        steps: Vec::new(),
        service: name.clone(),
    };
    let target = Target {
        instance: name.clone(),
        scheme: Scheme::Http,
        address: "10.0.0.1".into(),
        port,
        path: String::new(),
        weight: 1,
    };
    let service = ServiceSpec::of_targets(name, vec![target]);
    Contribution { routes: vec![route], services: vec![service], ..Contribution::default() }
}

/// Nanoseconds this thread has had of a processor: others that run beside it do not count.
fn spent() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn timed<T>(name: &str, times: usize, mut work: impl FnMut() -> T) -> T {
    let mut last = work();
    let begun = spent();
    for _ in 0..times {
        last = work();
    }
    println!("{name} {}", (spent() - begun) / times as u64);
    last
}

/// What follows a change, timed: the contribution of one service, then of another, and so on.
fn change(linker: &mut Linker, table: &mut RouteTable<Arc<str>>, declared: Arc<Declared>) {
    linker.declare(declared);
    let touched = linker.link();
    let routes = touched.routes.iter().filter_map(|name| linker.linked().routes.get(name));
    let entries = routes.map(|route| Entry {
        priority: route.spec.priority,
        name: Arc::clone(&route.name),
        rule: Arc::new(Rule::compile(&route.spec.rule).unwrap()),
        value: Arc::clone(&route.name),
    });
    table.change(touched.routes.iter().map(AsRef::as_ref), entries.collect());
}

fn main() {
    let provider: Arc<str> = "consulcatalog".into();
    let declare = |number: usize, port: u16| {
        Arc::new(Declared::new(&provider, &format!("service-{number}"), contribution(number, port)))
    };
    let (mut linker, mut table) = (Linker::default(), RouteTable::default());
    let begun = spent();
    (0..SERVICES).for_each(|number| linker.declare(declare(number, 80)));
    change(&mut linker, &mut table, declare(0, 80));
    println!("all {}", (spent() - begun));
    // What is published shares everything with what is worked on.
    let mut published = table.clone();
    let mut next = (0..SERVICES).map(|at| at * 7 % SERVICES).zip(81..).cycle();
    timed("change", CHANGES, || {
        let (number, port) = next.next().unwrap();
        change(&mut linker, &mut table, declare(number, port));
        published = table.clone();
    });
    assert_eq!((linker.linked().routes.len(), published.len()), (SERVICES, SERVICES));
    let client: IpAddr = "127.0.0.1".parse().unwrap();
    let asked: Vec<(String, NormalPath)> = (0..1000)
        .map(|number| {
            let number = number * 7 % SERVICES;
            let (host, path) = match number % 2 {
                0 => (format!("service-{number}.example.test"), "/cart/7".to_owned()),
                _ => (format!("shared-{}.example.test", number / 20), format!("/service-{number}/cart")),
            };
            (host, NormalPath::parse(&path).unwrap())
        })
        .collect();
    let mut found = 0_usize;
    let begun = spent();
    for (host, path) in asked.iter().cycle().take(LOOKUPS) {
        let request = RequestView { host, path, query: None, method: "GET", headers: &NoHeaders, client };
        found += usize::from(published.find(&request).is_some());
    }
    println!("lookup {}", (spent() - begun) / LOOKUPS as u64);
    assert_eq!(found, LOOKUPS, "every request has its route");
}
