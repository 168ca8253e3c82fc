//! Services and what they are put together from.
//!
//! A part that does not exist is left out where the rest can do without it: of weighted services the other ones, of a
//! mirroring the one that answers, of a failover the main one. What contains itself cannot be used at all.

use std::collections::HashMap;
use std::sync::Arc;

use super::LinkProblem;
use super::book::Claim;
use super::search::{Search, Unrolled};
use crate::contribution::Severity;
use crate::service::{Balancer, ServiceKind, ServiceSpec};

/// Deeper nesting is refused: nobody needs it, and whatever walks the parts may recurse.
const MOST_DEPTH: usize = 16;

/// A service with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedService {
    /// `name@provider`.
    pub name: Arc<str>,
    /// As declared.
    pub spec: Arc<ServiceSpec>,
    /// The catalog service it was made of.
    pub origin: Arc<str>,
    /// Qualified names of its parts, in the order of [`ServiceSpec::parts`]; `None` where there is no such service.
    pub parts: Vec<Option<Arc<str>>>,
    /// Qualified names of its steps with chains unrolled.
    pub steps: Vec<Arc<str>>,
    /// Why it cannot work; empty for services that do.
    pub errors: Vec<String>,
    /// How many of those are because of its steps. They come first.
    of_steps: usize,
}

/// What a service refers to; whether its parts work is seen by [`depth`] once all are there.
pub(super) fn resolve(claim: &Claim<ServiceSpec>, search: &mut Search<'_>) -> LinkedService {
    let Claim { item, owner } = claim;
    let Unrolled { steps, errors } = search.unroll(&owner.provider, &item.spec.steps);
    let parts = item.spec.parts().into_iter().map(|name| search.service(&owner.provider, name)).collect();
    LinkedService {
        name: Arc::clone(&item.name),
        spec: Arc::clone(&item.spec),
        origin: Arc::clone(&owner.origin),
        parts,
        steps,
        of_steps: errors.len(),
        errors,
    }
}

/// What of a service does not work.
pub(super) fn problems(service: &LinkedService, claim: &Claim<ServiceSpec>) -> Vec<LinkProblem> {
    let missing = service.parts.iter().zip(service.spec.parts()).filter(|(part, _)| part.is_none());
    let left_out = missing.map(|(_, name)| (Severity::Warning, format!("its part `{name}` does not exist")));
    let errors = service.errors.iter().map(|error| (Severity::Error, error.clone()));
    let problem = |(how, why)| claim.owner.problem(how, format!("service {}", service.spec.name), why);
    left_out.chain(errors).map(problem).collect()
}

/// How deep a service is nested, or why it cannot work because of its parts. `open` are the services that contain it;
/// `known` are those found to work, so that none is walked twice.
pub(super) fn depth(
    services: &HashMap<Arc<str>, LinkedService>,
    name: &Arc<str>,
    open: &mut Vec<Arc<str>>,
    known: &mut HashMap<Arc<str>, usize>,
) -> Result<usize, String> {
    let Some(service) = services.get(name) else { return Ok(0) };
    if let Some(depth) = known.get(name) {
        return Ok(*depth);
    }
    if open.contains(name) {
        return Err(format!("service `{name}` contains itself"));
    }
    if open.len() >= MOST_DEPTH {
        return Err(format!("services are nested more than {MOST_DEPTH} deep"));
    }
    let works = match &service.spec.kind {
        ServiceKind::Balancer(_) => true,
        ServiceKind::Weighted(_) => service.parts.iter().any(Option::is_some),
        ServiceKind::Mirroring(_) | ServiceKind::Failover(_) => service.parts.first().is_some_and(Option::is_some),
    };
    if !works {
        return Err(format!("no service that `{name}` needs exists"));
    }
    open.push(Arc::clone(name));
    let mut deepest = 0;
    for part in service.parts.iter().flatten() {
        if let Some(error) = services.get(part).and_then(LinkedService::error_of_steps) {
            return Err(format!("its part `{part}`: {error}"));
        }
        deepest = deepest.max(depth(services, part, open, known)?);
    }
    open.pop();
    if deepest >= MOST_DEPTH {
        return Err(format!("services are nested more than {MOST_DEPTH} deep"));
    }
    known.insert(Arc::clone(name), deepest + 1);
    Ok(deepest + 1)
}

impl LinkedService {
    fn error_of_steps(&self) -> Option<&String> {
        self.errors.get(..self.of_steps).and_then(<[String]>::first)
    }

    /// Leaves nothing of what [`depth`] may have found before.
    pub(super) fn set_depth(&mut self, depth: Result<usize, String>) {
        self.errors.truncate(self.of_steps);
        self.errors.extend(depth.err());
    }
}

/// Services that differ in nothing but their targets are one service.
pub(super) fn join(kept: &ServiceSpec, other: &ServiceSpec) -> Option<ServiceSpec> {
    let (ServiceKind::Balancer(one), ServiceKind::Balancer(two)) = (&kept.kind, &other.kind) else { return None };
    let without_targets = |balancer: &Balancer| Balancer { targets: Vec::new(), ..balancer.clone() };
    if kept.steps != other.steps || without_targets(one) != without_targets(two) {
        return None;
    }
    let mut joined = (**one).clone();
    for target in &two.targets {
        if !joined.targets.iter().any(|known| known.url() == target.url()) {
            joined.targets.push(target.clone());
        }
    }
    Some(ServiceSpec { kind: ServiceKind::Balancer(Box::new(joined)), ..kept.clone() })
}
