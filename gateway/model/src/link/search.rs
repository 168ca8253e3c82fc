//! Looking up what a route or a service refers to, and keeping what was looked up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::book::Book;
use super::users::Sought;
use super::{CONFIG_PROVIDER, Item, Linked};
use crate::action::Action;
use crate::contribution::StepSpec;
use crate::service::ServiceSpec;

/// Chains nested deeper are refused: nobody needs it, and unrolling recurses.
const MOST_DEPTH: usize = 16;
/// More steps are refused. Chains that name others twice grow beyond every bound in a few lines.
const MOST_STEPS: usize = 256;

/// What there is, and what was looked up of it.
pub(super) struct Search<'a> {
    steps: &'a HashMap<Arc<str>, Item<StepSpec>>,
    services: &'a Book<ServiceSpec>,
    pub(super) sought: HashSet<Sought>,
}

/// Steps with chains unrolled, and what is wrong with them.
#[derive(Default)]
pub(super) struct Unrolled {
    pub(super) steps: Vec<Arc<str>>,
    pub(super) errors: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(steps: &'a HashMap<Arc<str>, Item<StepSpec>>, services: &'a Book<ServiceSpec>) -> Self {
        Self { steps, services, sought: HashSet::new() }
    }

    /// The qualified name of a service.
    pub(super) fn service(&mut self, provider: &str, name: &str) -> Option<Arc<str>> {
        let services = self.services;
        find(provider, name, |full| {
            let found = services.name(full);
            self.sought.insert(Sought::Service(found.map_or_else(|| full.into(), Arc::clone)));
            found.map(Arc::clone)
        })
    }

    /// Steps in order, chains unrolled.
    pub(super) fn unroll(&mut self, provider: &str, names: &[String]) -> Unrolled {
        let mut unrolled = Unrolled::default();
        for name in names {
            self.unroll_one(provider, name, &mut Vec::new(), &mut unrolled);
        }
        if unrolled.steps.len() > MOST_STEPS {
            unrolled.errors.push(format!("its chains come to more than {MOST_STEPS} steps: leave some out"));
        }
        unrolled
    }

    /// Appends a step, or the steps of a chain. `open` are the chains being unrolled.
    fn unroll_one(&mut self, provider: &str, name: &str, open: &mut Vec<Arc<str>>, unrolled: &mut Unrolled) {
        if unrolled.steps.len() > MOST_STEPS || unrolled.errors.len() > MOST_STEPS {
            return;
        }
        let Some(full) = self.step(provider, name) else {
            unrolled.errors.push(format!("step `{name}` does not exist"));
            return;
        };
        let Some(Action::Chain(parts)) = self.steps.get(&full).map(|step| &step.spec.action) else {
            unrolled.steps.push(full);
            return;
        };
        if open.contains(&full) {
            unrolled.errors.push(format!("chain `{full}` contains itself"));
        } else if open.len() >= MOST_DEPTH {
            unrolled.errors.push(format!("chains are nested more than {MOST_DEPTH} deep: unroll some of them"));
        } else {
            let home = full.rsplit_once('@').map_or(provider, |(_, home)| home).to_owned();
            open.push(full);
            for part in parts {
                self.unroll_one(&home, part, open, unrolled);
            }
            open.pop();
        }
    }

    fn step(&mut self, provider: &str, name: &str) -> Option<Arc<str>> {
        let steps = self.steps;
        find(provider, name, |full| {
            let found = steps.get_key_value(full).map(|(name, _)| name);
            self.sought.insert(Sought::Step(found.map_or_else(|| full.into(), Arc::clone)));
            found.map(Arc::clone)
        })
    }
}

/// `name@provider` as written; without a provider first the referring one's, then the configuration's.
fn find(provider: &str, name: &str, mut look: impl FnMut(&str) -> Option<Arc<str>>) -> Option<Arc<str>> {
    if name.contains('@') {
        return look(name);
    }
    look(&format!("{name}@{provider}")).or_else(|| look(&format!("{name}@{CONFIG_PROVIDER}")))
}

/// The same in any map, for whoever keeps nothing.
pub(super) fn find_in<T>(map: &HashMap<Arc<str>, T>, provider: &str, name: &str) -> Option<Arc<str>> {
    find(provider, name, |full| map.get_key_value(full).map(|(key, _)| Arc::clone(key)))
}

/// The qualified names of a step with chains unrolled, for who names it from outside of every provider.
///
/// # Errors
/// It does not exist, or a chain has a part that does not.
pub fn steps_of(linked: &Linked, name: &str) -> Result<Vec<Arc<str>>, String> {
    let no_services = Book::new("service", |_, _| None);
    let unrolled = Search::new(&linked.steps, &no_services).unroll(CONFIG_PROVIDER, &[name.to_owned()]);
    if unrolled.errors.is_empty() { Ok(unrolled.steps) } else { Err(unrolled.errors.join("; ")) }
}
