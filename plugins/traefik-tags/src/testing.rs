//! What the tests of several modules need: services to contribute, and looks into contributions.

#![allow(clippy::unwrap_used, reason = "tests")]

use sluice_plugin_sdk::router::{
    Action, Contribution, Health, Instance, Route, RuleNode, Service, ServiceSpec, Severity, Step,
};

use crate::settings::Settings;

/// A passing instance at 10.0.0.1:80.
pub(crate) fn instance(id: &str, tags: &[&str]) -> Instance {
    Instance {
        id: id.to_owned(),
        node: "node".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 80,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        health: Health::Passing,
    }
}

/// A service whose instances i0, i1, … have these tags and different addresses.
pub(crate) fn service_with(name: &str, tags: &[&[&str]]) -> Service {
    let numbered = tags.iter().enumerate().map(|(number, tags)| Instance {
        address: format!("10.0.0.{}", number + 1),
        ..instance(&format!("i{number}"), tags)
    });
    Service { name: name.to_owned(), instances: numbered.collect() }
}

pub(crate) fn contribution(settings: &str, service: &Service) -> Contribution {
    crate::contribute(service, &Settings::parse(settings).unwrap())
}

pub(crate) trait Named {
    fn name(&self) -> &str;
}

impl Named for Route {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for ServiceSpec {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Step {
    fn name(&self) -> &str {
        &self.name
    }
}

pub(crate) fn names<T: Named>(all: &[T]) -> Vec<&str> {
    all.iter().map(Named::name).collect()
}

pub(crate) fn route<'a>(result: &'a Contribution, name: &str) -> Option<&'a Route> {
    result.routes.iter().find(|route| route.name == name)
}

pub(crate) fn step<'a>(result: &'a Contribution, name: &str) -> Option<&'a Action> {
    result.steps.iter().find(|step| step.name == name).map(|step| &step.action)
}

/// The hosts a route's rule names.
pub(crate) fn route_hosts(route: &Route) -> Vec<String> {
    let hosts = route.rule.nodes.iter().filter_map(|node| match node {
        RuleNode::Host(host) | RuleNode::HostExact(host) => Some(host.clone()),
        _ => None,
    });
    hosts.collect()
}

pub(crate) fn severities(result: &Contribution) -> Vec<Severity> {
    result.diagnostics.iter().map(|found| found.severity).collect()
}

/// What the v3 middleware `m` with these options comes to; `None` where it cannot be used.
pub(crate) fn middleware(options: &[&str]) -> Option<Action> {
    let tags: Vec<_> = options.iter().map(|option| format!("traefik.http.middlewares.m.{option}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    step(&contribution("{}", &service_with("web", &[&tags])), "m").cloned()
}

/// The action of the only step of a v1 service with these options; `None` where it has no route or no step.
pub(crate) fn v1_step(settings: &str, options: &[&str]) -> Option<Action> {
    let tags: Vec<_> = options.iter().map(|option| format!("traefik.{option}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let result = contribution(settings, &service_with("web", &[&tags]));
    match route(&result, "web")?.steps.as_slice() {
        [only] => step(&result, only).cloned(),
        _ => None,
    }
}
