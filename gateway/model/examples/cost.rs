//! What linking and looking up cost with many services: `cargo run --release --package sluice-model --example cost`.
//!
//! Prints `name value` lines, times in nanoseconds of this thread's CPU. `cargo xtask bench catalog` shows them.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement speaks through the standard output")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sluice_model::link::{Declared, link};
use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView, Rule};
use sluice_model::table::{Entry, RouteTable};
use sluice_model::{
    Contribution, Observability, PathView, RouteSpec, RuleNode, RuleSpec, Scheme, ServiceSpec, Target, Transport,
};

const SERVICES: usize = 10_000;
const LOOKUPS: usize = 200_000;

struct NoHeaders;

impl HeaderValues for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// A service on a host of its own, or below a path of a host it shares with nine others.
fn contribution(number: usize) -> Contribution {
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
        port: 80,
        path: String::new(),
        weight: 1,
    };
    let service = ServiceSpec::of_targets(name, vec![target]);
    Contribution { routes: vec![route], services: vec![service], ..Contribution::default() }
}

fn timed<T>(name: &str, times: usize, mut work: impl FnMut() -> T) -> T {
    let mut last = work();
    let begun = Instant::now();
    for _ in 0..times {
        last = work();
    }
    println!("{name} {}", begun.elapsed().as_nanos() / times as u128);
    last
}

fn main() {
    let provider: Arc<str> = "consulcatalog".into();
    let declared: Vec<Arc<Declared>> = (0..SERVICES)
        .map(|number| Arc::new(Declared::new(&provider, &format!("service-{number}"), contribution(number))))
        .collect();
    let linked = timed("link", 20, || link(&declared));
    let rules: Vec<Arc<Rule>> =
        linked.routes.iter().map(|route| Arc::new(Rule::compile(&route.spec.rule).unwrap())).collect();
    let table = timed("table", 20, || {
        let entries = linked.routes.iter().zip(&rules).map(|(route, rule)| Entry {
            priority: route.spec.priority,
            name: Arc::clone(&route.name),
            rule: Arc::clone(rule),
            value: Arc::clone(&route.name),
        });
        RouteTable::new(entries.collect())
    });
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
    let begun = Instant::now();
    for (host, path) in asked.iter().cycle().take(LOOKUPS) {
        let request = RequestView { host, path, query: None, method: "GET", headers: &NoHeaders, client };
        found += usize::from(table.find(&request).is_some());
    }
    println!("lookup {}", begun.elapsed().as_nanos() / LOOKUPS as u128);
    assert_eq!(found, LOOKUPS, "every request has its route");
}
