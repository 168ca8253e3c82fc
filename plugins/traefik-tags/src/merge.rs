//! Puts together what the instances of one service say, settles what contradicts, and leaves out what cannot work.
//!
//! Of two definitions of one name, the one behind more accepted instances stays, ties go to the smallest instance id,
//! and a warning says so: during a rolling deploy a route must not disappear because old and new tags differ.

mod tcp;

use std::collections::BTreeMap;

use sluice_plugin_sdk::router::{
    Action, Balancer, Contribution, Route, ServiceKind, ServiceSpec, Step, Target, TcpAction, TcpRoute, TcpService,
};

use crate::report::{Problem, Report};
use crate::settings::Settings;
use crate::vote::{Ballot, Decision};

/// Everything said so far, contradictions included.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) routes: Vec<Candidate<Route>>,
    pub(crate) steps: Vec<Candidate<Action>>,
    /// One for each time it was said; targets are joined.
    pub(crate) services: Vec<Candidate<ServiceSpec>>,
    pub(crate) tcp_routes: Vec<Candidate<TcpRoute>>,
    pub(crate) tcp_steps: Vec<Candidate<TcpAction>>,
    /// As services.
    pub(crate) tcp_services: Vec<TcpService>,
}

/// A definition of something, or why it cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate<T> {
    pub(crate) name: String,
    pub(crate) value: Result<T, Problem>,
    /// Ids of the instances that say so.
    pub(crate) voters: Vec<String>,
}

impl<T> Candidate<T> {
    pub(crate) fn new(name: impl Into<String>, voters: &[String], value: Result<T, Problem>) -> Self {
        Self { name: name.into(), value, voters: voters.to_vec() }
    }
}

/// The contribution a draft comes to.
pub(crate) fn merge(mut draft: Draft, settings: &Settings, mut report: Report) -> Contribution {
    let (tcp_routes, tcp_services, tcp_steps) = tcp::merge(&mut draft, settings, &mut report);
    let services = join_services(draft.services, &mut report);
    let steps = settle("step", draft.steps, &mut report);
    let routes = settle("route", draft.routes, &mut report);
    let steps = without_broken_steps(steps, settings, &mut report);
    let routes = working_routes(routes, &steps, settings, &mut report);
    let steps = steps.into_iter().filter_map(|(name, action)| Some(Step { name, action: action? })).collect();
    let diagnostics = report.finish();
    Contribution { routes, services, steps, tcp_routes, tcp_services, tcp_steps, diagnostics }
}

/// One definition for each name. One that cannot be used counts only where there is no other.
fn settle<T: PartialEq>(
    kind: &str,
    candidates: Vec<Candidate<T>>,
    report: &mut Report,
) -> BTreeMap<String, Result<T, Problem>> {
    let mut by_name: BTreeMap<String, (Ballot<T>, Ballot<Problem>)> = BTreeMap::new();
    for Candidate { name, value, voters } in candidates {
        let (usable, broken) = by_name.entry(name).or_default();
        let voters = voters.iter().map(String::as_str);
        match value {
            Ok(value) => usable.add(value, voters, |a, b| a == b),
            Err(problem) => broken.add(problem, voters, |a, b| a == b),
        }
    }
    let mut settled = BTreeMap::new();
    for (name, (usable, broken)) in by_name {
        let broken = broken.decide().map(|decision| decision.winner);
        match (pick(kind, &name, usable, report), broken) {
            (Some(value), None) => drop(settled.insert(name, Ok(value))),
            (Some(value), Some(broken)) => {
                let message =
                    format!("the definition of {} cannot be used, the others' stays: {}", broken.shown(), broken.value);
                report.warning(&format!("{kind} {name}"), &broken.value.tag, message);
                settled.insert(name, Ok(value));
            }
            (None, Some(broken)) => drop(settled.insert(name, Err(broken.value))),
            (None, None) => {}
        }
    }
    settled
}

fn pick<T>(kind: &str, name: &str, ballot: Ballot<T>, report: &mut Report) -> Option<T> {
    let Decision { winner, loser } = ballot.decide()?;
    if let Some(loser) = loser {
        let message = format!(
            "instances define this differently: the definition of {} is used, not the one of {}; give all the same tags",
            winner.shown(),
            loser.shown()
        );
        report.warning(&format!("{kind} {name}"), "", message);
    }
    Some(winner.value)
}

/// Services of one name are one service: targets are joined, and on the rest most instances decide.
fn join_services(said: Vec<Candidate<ServiceSpec>>, report: &mut Report) -> Vec<ServiceSpec> {
    let mut by_name: BTreeMap<String, Vec<Candidate<ServiceSpec>>> = BTreeMap::new();
    for service in said {
        by_name.entry(service.name.clone()).or_default().push(service);
    }
    by_name.into_iter().filter_map(|(name, versions)| join_service(&name, versions, report)).collect()
}

fn join_service(name: &str, said: Vec<Candidate<ServiceSpec>>, report: &mut Report) -> Option<ServiceSpec> {
    let mut versions = Ballot::default();
    let mut targets: Vec<Target> = Vec::new();
    for Candidate { value, voters, .. } in said {
        let without_targets = value.map(|mut service| {
            if let ServiceKind::Balancer(balancer) = &mut service.kind {
                for target in std::mem::take(&mut balancer.targets) {
                    if !targets.iter().any(|known| same_address(known, &target)) {
                        targets.push(target);
                    }
                }
            }
            service
        });
        versions.add(without_targets, voters.iter().map(String::as_str), |a, b| a == b);
    }
    targets.sort_by(|a, b| a.instance.cmp(&b.instance));
    match pick("service", name, versions, report)? {
        Ok(ServiceSpec { name, kind: ServiceKind::Balancer(balancer), steps }) => {
            Some(ServiceSpec { name, kind: ServiceKind::Balancer(Balancer { targets, ..balancer }), steps })
        }
        Ok(composite) => Some(composite),
        Err(problem) => {
            report.error(&format!("service {name}"), &problem.tag, format!("{problem}; routes to it are left out"));
            None
        }
    }
}

fn same_address(a: &Target, b: &Target) -> bool {
    a.scheme == b.scheme && a.address == b.address && a.port == b.port && a.path == b.path
}

type Steps = BTreeMap<String, Option<Action>>;

/// Reports the steps that cannot be used, and the chains that need one of them. They stay in the map as `None`.
fn without_broken_steps(
    steps: BTreeMap<String, Result<Action, Problem>>,
    settings: &Settings,
    report: &mut Report,
) -> Steps {
    let mut usable = Steps::new();
    for (name, action) in steps {
        if let Err(problem) = &action {
            report.error(&format!("step {name}"), &problem.tag, format!("{problem}; routes that use it are left out"));
        }
        usable.insert(name, action.ok());
    }
    while let Some((name, broken)) = usable.iter().find_map(|(name, action)| match action {
        Some(Action::Chain(links)) => {
            broken_step(links, &usable, settings).map(|broken| (name.clone(), broken.to_owned()))
        }
        _ => None,
    }) {
        report.error(
            &format!("step {name}"),
            "",
            format!("its step `{broken}` cannot be used; routes that use it are left out"),
        );
        usable.insert(name, None);
    }
    usable
}

/// The first step of a list that is defined here and cannot be used.
fn broken_step<'a>(names: &'a [String], steps: &Steps, settings: &Settings) -> Option<&'a str> {
    let broken = |name: &&String| matches!(steps.get(settings.local_name(name)), Some(None));
    names.iter().find(broken).map(String::as_str)
}

/// The routes that can serve; the others are reported.
fn working_routes(
    routes: BTreeMap<String, Result<Route, Problem>>,
    steps: &Steps,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Route> {
    let mut working = Vec::new();
    for (name, route) in routes {
        let route = route.and_then(|route| match broken_step(&route.steps, steps, settings) {
            Some(step) => Err(Problem::new("", format!("its step `{step}` cannot be used"))),
            None => Ok(route),
        });
        match route {
            Ok(route) => working.push(route),
            Err(problem) => report.error(&format!("route {name}"), &problem.tag, problem.message),
        }
    }
    working
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::router::{Observability, Rule, Scheme, Severity, Transport};

    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    fn route(name: &str, text: &str, steps: &[&str]) -> Route {
        Route {
            name: name.into(),
            rule: Rule { text: text.into(), nodes: vec![], root: 0 },
            priority: 0,
            entrypoints: vec![],
            transport: Transport::Any,
            tls_options: String::new(),
            observability: Observability::default(),
            steps: ids(steps),
            service: "s".into(),
        }
    }

    fn said(voters: &[&str], route: Route) -> Candidate<Route> {
        Candidate::new(route.name.clone(), &ids(voters), Ok(route))
    }

    fn target(instance: &str, port: u16) -> Target {
        Target {
            instance: instance.into(),
            scheme: Scheme::Http,
            address: "10.0.0.1".into(),
            port,
            path: String::new(),
            weight: 1,
        }
    }

    fn merged(draft: Draft) -> Contribution {
        merge(draft, &Settings::parse("").unwrap(), Report::default())
    }

    #[test]
    fn the_definition_of_most_instances_stays() {
        let routes = vec![
            said(&["1"], route("r", "old", &[])),
            said(&["2"], route("r", "new", &[])),
            said(&["3"], route("r", "new", &[])),
        ];
        let result = merged(Draft { routes, ..Draft::default() });
        assert_eq!(result.routes.iter().map(|route| route.rule.text.as_str()).collect::<Vec<_>>(), ["new"]);
        assert_eq!(result.diagnostics.iter().map(|found| found.severity).collect::<Vec<_>>(), [Severity::Warning]);
        assert_eq!(result.diagnostics.first().map(|found| found.object.as_str()), Some("route r"));
    }

    #[test]
    fn ties_go_to_the_smallest_id_and_order_does_not_matter() {
        let mut routes = vec![said(&["b"], route("r", "b", &[])), said(&["a"], route("r", "a", &[]))];
        for _ in 0..2 {
            let result = merged(Draft { routes: routes.clone(), ..Draft::default() });
            assert_eq!(result.routes.iter().map(|route| route.rule.text.as_str()).collect::<Vec<_>>(), ["a"]);
            routes.reverse();
        }
    }

    #[test]
    fn a_broken_definition_does_not_cost_the_route_where_there_is_another() {
        let broken = Candidate::new("r", &ids(&["1"]), Err(Problem::new("t", "bad rule")));
        let routes = vec![broken.clone(), said(&["2", "3"], route("r", "good", &[]))];
        let result = merged(Draft { routes, ..Draft::default() });
        assert_eq!(result.routes.len(), 1);
        let majority = Candidate::new("r", &ids(&["1", "2", "3"]), Err(Problem::new("t", "bad rule")));
        let routes = vec![majority, said(&["4"], route("r", "old", &[]))];
        let result = merged(Draft { routes, ..Draft::default() });
        assert_eq!(result.routes.iter().map(|route| route.rule.text.as_str()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(result.diagnostics.iter().map(|found| found.tag.as_str()).collect::<Vec<_>>(), ["t"]);
        let result = merged(Draft { routes: vec![broken], ..Draft::default() });
        assert!(result.routes.is_empty());
        assert_eq!(result.diagnostics.first().map(|found| found.tag.as_str()), Some("t"));
    }

    #[test]
    fn services_are_joined_and_most_targets_decide_about_the_host_header() {
        let service = |pass_host_header, targets: Vec<Target>| {
            let voters: Vec<String> = targets.iter().map(|target| target.instance.clone()).collect();
            let balancer = Balancer { targets, pass_host_header, ..Balancer::default() };
            Candidate::new("s", &voters, Ok(ServiceSpec::balanced("s", balancer)))
        };
        let services = vec![
            service(true, vec![target("c", 3)]),
            service(false, vec![target("a", 1)]),
            service(false, vec![target("b", 2), target("b2", 2)]),
        ];
        let result = merged(Draft { services, ..Draft::default() });
        let joined = result.services.first().unwrap();
        assert!(!joined.balancer().unwrap().pass_host_header);
        assert_eq!(joined.targets(), [target("a", 1), target("b", 2), target("c", 3)], "the same address counts once");
        assert_eq!(result.diagnostics.len(), 1);
    }

    #[test]
    fn a_broken_step_takes_its_chains_and_routes_with_it_and_nothing_else() {
        let step = |name: &str, value| Candidate::new(name, &ids(&["1"]), value);
        let steps = vec![
            step("bad", Err(Problem::new("tag", "unsupported"))),
            step("chain", Ok(Action::Chain(ids(&["good", "inner"])))),
            step("inner", Ok(Action::Chain(ids(&["bad@consulcatalog"])))),
            step("good", Ok(Action::AddPrefix("/x".into()))),
        ];
        let routes = vec![
            said(&["1"], route("a", "", &["chain"])),
            said(&["1"], route("b", "", &["good", "elsewhere"])),
            said(&["1"], route("c", "", &["bad@other"])),
            said(&["1"], route("d", "", &["bad"])),
        ];
        let result = merged(Draft { routes, steps, ..Draft::default() });
        assert_eq!(result.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(result.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["good"]);
        let mut objects: Vec<_> = result.diagnostics.iter().map(|found| found.object.as_str()).collect();
        objects.sort_unstable();
        assert_eq!(objects, ["route a", "route d", "step bad", "step chain", "step inner"]);
    }
}
