//! Linking all over again, as simply as it can be said: what a [`Linker`](super::Linker) has to come to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::services::join;
use super::{CONFIG_PROVIDER, Declared, Item, LinkProblem};
use crate::action::Action;
use crate::contribution::{Diagnostic, RouteSpec, Severity, StepSpec};
use crate::service::{ServiceKind, ServiceSpec};

/// A service: its spec, whose it is, its parts, its steps, and why it does not work.
pub(super) type Service = (Arc<ServiceSpec>, Arc<str>, Vec<Option<Arc<str>>>, Vec<Arc<str>>, Vec<String>);
/// A route: its spec, whose it is, its service, its steps, those of its service, and why it does not work.
pub(super) type Route = (Arc<RouteSpec>, Arc<str>, Option<Arc<str>>, Vec<Arc<str>>, Vec<Arc<str>>, Vec<String>);

/// Everything linked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Naive {
    pub(super) steps: BTreeMap<Arc<str>, Arc<StepSpec>>,
    pub(super) services: BTreeMap<Arc<str>, Service>,
    pub(super) routes: BTreeMap<Arc<str>, Route>,
    /// As text, sorted.
    pub(super) problems: Vec<String>,
}

type Settled<'a, T> = HashMap<Arc<str>, (Item<T>, &'a Declared)>;
type Steps = BTreeMap<Arc<str>, Arc<StepSpec>>;

pub(super) fn link(contributions: &[Arc<Declared>]) -> Naive {
    let mut ordered: Vec<&Declared> = contributions.iter().map(AsRef::as_ref).collect();
    ordered.sort_by_key(|one| (std::cmp::Reverse(one.targets), Arc::clone(&one.provider), Arc::clone(&one.origin)));
    let mut problems: Vec<LinkProblem> = Vec::new();
    for one in &ordered {
        problems.extend(one.diagnostics.iter().map(|found| one.about(found.clone())));
    }
    let steps = settle(&ordered, "step", |one| &one.steps, &mut problems, |_, _| None);
    let steps: Steps = steps.into_iter().map(|(name, (item, _))| (name, item.spec)).collect();
    let settled = settle(&ordered, "service", |one| &one.services, &mut problems, join);
    let mut services: BTreeMap<_, _> = settled
        .iter()
        .map(|(name, (item, owner))| (Arc::clone(name), service(item, owner, &settled, &steps)))
        .collect();
    let broken: Vec<_> =
        services.keys().filter_map(|name| Some((Arc::clone(name), depth(&services, name, &[]).err()?))).collect();
    for (name, error) in broken {
        services.get_mut(&name).unwrap().4.push(error);
    }
    for (name, (spec, _, parts, _, errors)) in &services {
        let owner = settled[name].1;
        let object = format!("service {}", spec.name);
        for (_, missing) in parts.iter().zip(spec.parts()).filter(|(part, _)| part.is_none()) {
            problems.push(owner.problem(
                Severity::Warning,
                object.clone(),
                format!("its part `{missing}` does not exist"),
            ));
        }
        problems.extend(errors.iter().map(|error| owner.problem(Severity::Error, object.clone(), error.clone())));
    }
    let routes = settle(&ordered, "route", |one| &one.routes, &mut problems, |_, _| None);
    let routes =
        routes.into_iter().map(|(name, (item, owner))| (name, route(&item, owner, &services, &steps))).collect();
    let mut problems: Vec<_> = problems.iter().map(shown).collect();
    problems.sort();
    Naive { steps, services, routes, problems }
}

pub(super) fn shown(problem: &LinkProblem) -> String {
    let LinkProblem { provider, origin, diagnostic: Diagnostic { severity, object, message, .. } } = problem;
    format!("{provider} {origin} {severity:?} {object}: {message}")
}

fn settle<'a, T: PartialEq + 'a>(
    ordered: &[&'a Declared],
    kind: &str,
    items: impl Fn(&'a Declared) -> &'a Vec<Item<T>>,
    problems: &mut Vec<LinkProblem>,
    join: impl Fn(&T, &T) -> Option<T>,
) -> Settled<'a, T> {
    let mut settled: Settled<'a, T> = HashMap::new();
    for declared in ordered {
        for item in items(declared) {
            let Some((kept, owner)) = settled.get_mut(&item.name) else {
                settled.insert(Arc::clone(&item.name), (item.clone(), declared));
                continue;
            };
            if kept.spec == item.spec {
                continue;
            }
            if let Some(joined) = join(&kept.spec, &item.spec) {
                kept.spec = Arc::new(joined);
                continue;
            }
            let message = format!(
                "defined differently by service `{}`, which has more instances or comes first; that definition is used. \
                 Give one of them another name",
                owner.origin
            );
            problems.push(declared.problem(Severity::Error, format!("{kind} {}", item.name), message));
        }
    }
    settled
}

fn service(item: &Item<ServiceSpec>, owner: &Declared, all: &Settled<'_, ServiceSpec>, steps: &Steps) -> Service {
    let (mut unrolled, mut errors) = (Vec::new(), Vec::new());
    for name in &item.spec.steps {
        unroll(steps, &owner.provider, name, &[], &mut unrolled, &mut errors);
    }
    let parts = item.spec.parts().into_iter().map(|name| find(|full| all.contains_key(full), &owner.provider, name));
    (Arc::clone(&item.spec), Arc::clone(&owner.origin), parts.collect(), unrolled, errors)
}

/// Errors of steps are looked for before those of parts are added.
fn depth(services: &BTreeMap<Arc<str>, Service>, name: &Arc<str>, open: &[&Arc<str>]) -> Result<usize, String> {
    let Some((spec, _, parts, ..)) = services.get(name) else { return Ok(0) };
    if open.contains(&name) {
        return Err(format!("service `{name}` contains itself"));
    }
    if open.len() >= 16 {
        return Err("services are nested more than 16 deep".to_owned());
    }
    let works = match &spec.kind {
        ServiceKind::Balancer(_) => true,
        ServiceKind::Weighted(_) => parts.iter().any(Option::is_some),
        ServiceKind::Mirroring(_) | ServiceKind::Failover(_) => parts[0].is_some(),
    };
    if !works {
        return Err(format!("no service that `{name}` needs exists"));
    }
    let open: Vec<_> = open.iter().copied().chain([name]).collect();
    let mut deepest = 0;
    for part in parts.iter().flatten() {
        if let Some(error) = services.get(part).and_then(|part| part.4.first()) {
            return Err(format!("its part `{part}`: {error}"));
        }
        deepest = deepest.max(depth(services, part, &open)?);
    }
    Ok(deepest + 1)
}

fn route(item: &Item<RouteSpec>, owner: &Declared, services: &BTreeMap<Arc<str>, Service>, steps: &Steps) -> Route {
    let provider = &owner.provider;
    let mut errors = Vec::new();
    let service = find(|full| services.contains_key(full), provider, &item.spec.service);
    let mut service_steps = Vec::new();
    match &service {
        None => errors.push(format!("service `{}` does not exist", item.spec.service)),
        Some(name) => {
            errors.extend(services[name].4.iter().map(|error| format!("service `{name}`: {error}")));
            service_steps.clone_from(&services[name].3);
        }
    }
    let mut unrolled = Vec::new();
    for name in &item.spec.steps {
        unroll(steps, provider, name, &[], &mut unrolled, &mut errors);
    }
    (Arc::clone(&item.spec), Arc::clone(&owner.origin), service, unrolled, service_steps, errors)
}

fn unroll(
    known: &Steps,
    provider: &str,
    name: &str,
    open: &[Arc<str>],
    steps: &mut Vec<Arc<str>>,
    errors: &mut Vec<String>,
) {
    let Some(full) = find(|full| known.contains_key(full), provider, name) else {
        return errors.push(format!("step `{name}` does not exist"));
    };
    let Action::Chain(parts) = &known[&full].action else { return steps.push(full) };
    if open.contains(&full) {
        return errors.push(format!("chain `{full}` contains itself"));
    }
    let home = full.rsplit_once('@').unwrap().1;
    let open: Vec<_> = open.iter().cloned().chain([Arc::clone(&full)]).collect();
    for part in parts {
        unroll(known, home, part, &open, steps, errors);
    }
}

fn find(has: impl Fn(&str) -> bool, provider: &str, name: &str) -> Option<Arc<str>> {
    if name.contains('@') {
        return has(name).then(|| name.into());
    }
    let names = [format!("{name}@{provider}"), format!("{name}@{CONFIG_PROVIDER}")];
    names.into_iter().find(|full| has(full)).map(Into::into)
}
