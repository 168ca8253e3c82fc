//! Linking anew what a change touches.

use std::collections::{BTreeSet, HashMap};
use std::mem::take;
use std::sync::Arc;

use super::book::{Book, Claim};
use super::search::{Search, Unrolled};
use super::tcp::TcpBooks;
use super::users::{Sought, User, Users};
use super::{Declared, LinkProblem, Linked, LinkedRoute, Subject, services};
use crate::contribution::{RouteSpec, StepSpec};
use crate::service::ServiceSpec;

/// Everything declared, and what it is linked to.
#[derive(Debug)]
pub struct Linker {
    /// By provider and catalog service.
    contributions: HashMap<(Arc<str>, Arc<str>), Arc<Declared>>,
    steps: Book<StepSpec>,
    services: Book<ServiceSpec>,
    routes: Book<RouteSpec>,
    tcp: TcpBooks,
    users: Users,
    linked: Linked,
    /// Whose diagnostics are other ones now.
    touched: BTreeSet<Subject>,
}

/// What is, or may be, another one than before; names that are gone are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Steps whose definition changed.
    pub steps: BTreeSet<Arc<str>>,
    /// Services that changed, or something they refer to did.
    pub services: BTreeSet<Arc<str>>,
    /// Routes that changed, or something they refer to did.
    pub routes: BTreeSet<Arc<str>>,
    /// Something of whole connections changed.
    pub tcp: bool,
    /// Whose problems may be other ones.
    pub problems: BTreeSet<Subject>,
}

impl Default for Linker {
    fn default() -> Self {
        Self {
            contributions: HashMap::new(),
            steps: Book::new("step", |_, _| None),
            services: Book::new("service", services::join),
            routes: Book::new("route", |_, _| None),
            tcp: TcpBooks::default(),
            users: Users::default(),
            linked: Linked::default(),
            touched: BTreeSet::new(),
        }
    }
}

impl Touched {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.services.extend(other.services);
        self.routes.extend(other.routes);
        self.tcp |= other.tcp;
        self.problems.extend(other.problems);
    }
}

impl Linker {
    /// Takes a contribution in, in place of the one the same catalog service had.
    pub fn declare(&mut self, declared: Arc<Declared>) {
        self.retract(&declared.provider, &declared.origin);
        self.steps.add(&declared.steps, &declared);
        self.services.add(&declared.services, &declared);
        self.routes.add(&declared.routes, &declared);
        self.tcp.add(&declared);
        let problems = declared.diagnostics.iter().map(|found| declared.about(found.clone())).collect();
        let key = (Arc::clone(&declared.provider), Arc::clone(&declared.origin));
        self.report(Subject::Tags(Arc::clone(&key.0), Arc::clone(&key.1)), problems);
        self.contributions.insert(key, declared);
    }

    /// Forgets the contribution of a catalog service.
    pub fn retract(&mut self, provider: &Arc<str>, origin: &Arc<str>) {
        let key = (Arc::clone(provider), Arc::clone(origin));
        let Some(declared) = self.contributions.remove(&key) else { return };
        self.steps.remove(&declared.steps, &declared);
        self.services.remove(&declared.services, &declared);
        self.routes.remove(&declared.routes, &declared);
        self.tcp.remove(&declared);
        self.report(Subject::Tags(key.0, key.1), Vec::new());
    }

    /// Links whatever those changes touch; says what that was.
    pub fn link(&mut self) -> Touched {
        let mut touched = Touched::default();
        touched.steps = self.link_steps();
        touched.services = self.link_services(&touched.steps);
        touched.routes = self.link_routes(&touched);
        if self.tcp.is_open() {
            let (linked, problems) = self.tcp.link();
            self.linked.tcp = linked;
            self.report(Subject::Tcp, problems);
            touched.tcp = true;
        }
        touched.problems = take(&mut self.touched);
        touched
    }

    /// Everything linked.
    #[must_use]
    pub fn linked(&self) -> &Linked {
        &self.linked
    }

    /// Everything there is, for whoever starts over.
    #[must_use]
    pub fn everything(&self) -> Touched {
        Touched {
            steps: self.linked.steps.keys().cloned().collect(),
            services: self.linked.services.keys().cloned().collect(),
            routes: self.linked.routes.keys().cloned().collect(),
            tcp: true,
            problems: self.linked.problems.keys().cloned().collect(),
        }
    }

    /// The same, for whoever needs nothing else.
    #[must_use]
    pub fn into_linked(self) -> Linked {
        self.linked
    }

    /// Whether nothing is known any more.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Linked { routes, services, steps, problems, .. } = &self.linked;
        let is_nothing_linked = routes.is_empty() && services.is_empty() && steps.is_empty() && problems.is_empty();
        let is_nothing_declared = self.contributions.is_empty() && self.services.names().next().is_none();
        is_nothing_linked && is_nothing_declared && self.users.is_empty()
    }

    fn report(&mut self, subject: Subject, problems: Vec<LinkProblem>) {
        let before = match problems.is_empty() {
            true => self.linked.problems.remove(&subject),
            false => self.linked.problems.insert(subject.clone(), problems),
        };
        if before.is_some() || self.linked.problems.contains_key(&subject) {
            self.touched.insert(subject);
        }
    }

    /// Answers which mean something else than before.
    fn link_steps(&mut self) -> BTreeSet<Arc<str>> {
        let mut changed = BTreeSet::new();
        for name in take(&mut self.steps.open) {
            let (claim, problems) = self.steps.settle(&name).unzip();
            self.report(Subject::Step(Arc::clone(&name)), problems.unwrap_or_default());
            let before = self.linked.steps.get(&name).map(|step| &step.spec);
            if before == claim.as_ref().map(|claim| &claim.item.spec) {
                continue;
            }
            match claim {
                Some(claim) => self.linked.steps.insert(Arc::clone(&name), claim.item),
                None => self.linked.steps.remove(&name),
            };
            changed.insert(name);
        }
        changed
    }

    fn link_services(&mut self, steps: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
        let mut next = self.redefined_services();
        for step in steps {
            next.extend(self.users.services(&Sought::Step(Arc::clone(step))).cloned());
        }
        // Whether a service works depends on its parts, on theirs, and so on.
        let mut affected = BTreeSet::new();
        while let Some(name) = next.pop() {
            if affected.insert(Arc::clone(&name)) {
                next.extend(self.users.services(&Sought::Service(name)).cloned());
            }
        }
        let claims: Vec<_> = affected.iter().map(|name| (name, self.services.settle(name))).collect();
        for (name, settled) in &claims {
            self.link_service(name, settled.as_ref().map(|(claim, _)| claim));
        }
        let mut known = HashMap::new();
        for (name, settled) in claims {
            let depth = services::depth(&self.linked.services, name, &mut Vec::new(), &mut known);
            let service = self.linked.services.get_mut(name);
            let problems = service.zip(settled).map(|(service, (claim, _))| {
                service.set_depth(depth);
                services::problems(service, &claim)
            });
            self.report(Subject::Parts(Arc::clone(name)), problems.unwrap_or_default());
        }
        affected
    }

    /// Services whose definition is another one than before.
    fn redefined_services(&mut self) -> Vec<Arc<str>> {
        let mut redefined = Vec::new();
        for name in take(&mut self.services.open) {
            let (claim, problems) = self.services.settle(&name).unzip();
            self.report(Subject::Service(Arc::clone(&name)), problems.unwrap_or_default());
            let before = self.linked.services.get(&name).map(|service| (&service.spec, &service.origin));
            if before != claim.as_ref().map(|claim| (&claim.item.spec, &claim.owner.origin)) {
                redefined.push(name);
            }
        }
        redefined
    }

    fn link_service(&mut self, name: &Arc<str>, claim: Option<&Claim<ServiceSpec>>) {
        let user = User::Service(Arc::clone(name));
        let Some(claim) = claim else {
            self.linked.services.remove(name);
            return self.users.forget(&user);
        };
        let mut search = Search::new(&self.linked.steps, &self.services);
        let service = services::resolve(claim, &mut search);
        self.users.note(user, search.sought);
        self.linked.services.insert(Arc::clone(name), service);
    }

    fn link_routes(&mut self, touched: &Touched) -> BTreeSet<Arc<str>> {
        let mut affected = take(&mut self.routes.open);
        let steps = touched.steps.iter().map(|name| Sought::Step(Arc::clone(name)));
        let services = touched.services.iter().map(|name| Sought::Service(Arc::clone(name)));
        for sought in steps.chain(services) {
            affected.extend(self.users.routes(&sought).cloned());
        }
        for name in &affected {
            let (claim, problems) = self.routes.settle(name).unzip();
            self.report(Subject::Route(Arc::clone(name)), problems.unwrap_or_default());
            let user = User::Route(Arc::clone(name));
            let Some(claim) = claim else {
                self.linked.routes.remove(name);
                self.users.forget(&user);
                continue;
            };
            let mut search = Search::new(&self.linked.steps, &self.services);
            let route = resolve_route(&self.linked, &claim, &mut search);
            self.users.note(user, search.sought);
            self.linked.routes.insert(Arc::clone(name), route);
        }
        affected
    }
}

fn resolve_route(linked: &Linked, claim: &Claim<RouteSpec>, search: &mut Search<'_>) -> LinkedRoute {
    let Claim { item, owner } = claim;
    let service = search.service(&owner.provider, &item.spec.service);
    let found = service.as_ref().and_then(|name| linked.services.get(name));
    let service_steps = found.map_or_else(Vec::new, |service| service.steps.clone());
    let mut errors = match found {
        None => vec![format!("service `{}` does not exist", item.spec.service)],
        Some(service) => service.errors.iter().map(|error| format!("service `{}`: {error}", service.name)).collect(),
    };
    let Unrolled { steps, errors: of_steps } = search.unroll(&owner.provider, &item.spec.steps);
    errors.extend(of_steps);
    let (name, spec, origin) = (Arc::clone(&item.name), Arc::clone(&item.spec), Arc::clone(&owner.origin));
    LinkedRoute { name, spec, origin, service, steps, service_steps, errors }
}
