//! Who declares a name, and which definition is used: the first in order, joined with later ones where they can be.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Declared, Item, LinkProblem};
use crate::contribution::Severity;

/// Every name of one kind of object.
#[derive(Debug)]
pub(super) struct Book<T> {
    kind: &'static str,
    join: fn(&T, &T) -> Option<T>,
    names: HashMap<Arc<str>, Vec<Claim<T>>>,
    /// Whose definition may be another one now.
    pub(super) open: BTreeSet<Arc<str>>,
}

/// One definition of a name, and whose it is.
#[derive(Debug)]
pub(super) struct Claim<T> {
    pub(super) item: Item<T>,
    pub(super) owner: Arc<Declared>,
}

impl<T> Clone for Claim<T> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), owner: Arc::clone(&self.owner) }
    }
}

impl<T: PartialEq> Book<T> {
    /// Two definitions of a name are joined where `join` can.
    pub(super) fn new(kind: &'static str, join: fn(&T, &T) -> Option<T>) -> Self {
        Self { kind, join, names: HashMap::new(), open: BTreeSet::new() }
    }

    /// Notes what a contribution declares.
    pub(super) fn add(&mut self, items: &[Item<T>], owner: &Arc<Declared>) {
        for item in items {
            let claims = self.names.entry(Arc::clone(&item.name)).or_default();
            let at = claims.partition_point(|claim| before(&claim.owner, owner) != Ordering::Greater);
            claims.insert(at, Claim { item: item.clone(), owner: Arc::clone(owner) });
            self.open.insert(Arc::clone(&item.name));
        }
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, items: &[Item<T>], owner: &Arc<Declared>) {
        for Item { name, .. } in items {
            if let Some(claims) = self.names.get_mut(name) {
                claims.retain(|claim| !Arc::ptr_eq(&claim.owner, owner));
                if claims.is_empty() {
                    self.names.remove(name);
                }
            }
            self.open.insert(Arc::clone(name));
        }
    }

    /// The definition of a name that is used, and what is said to those whose definition is not.
    pub(super) fn settle(&self, name: &str) -> Option<(Claim<T>, Vec<LinkProblem>)> {
        let mut claims = self.names.get(name)?.iter();
        let mut kept = claims.next()?.clone();
        let mut problems = Vec::new();
        for Claim { item, owner } in claims {
            if kept.item.spec == item.spec {
                continue;
            }
            if let Some(joined) = (self.join)(&kept.item.spec, &item.spec) {
                kept.item.spec = Arc::new(joined);
                continue;
            }
            let message = format!(
                "defined differently by service `{}`, which has more instances or comes first; that definition is used. \
                 Give one of them another name",
                kept.owner.origin
            );
            problems.push(owner.problem(Severity::Error, format!("{} {}", self.kind, item.name), message));
        }
        Some((kept, problems))
    }

    /// A name as it is kept, if somebody declares it.
    pub(super) fn name(&self, name: &str) -> Option<&Arc<str>> {
        self.names.get_key_value(name).map(|(name, _)| name)
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.keys()
    }
}

/// The one with the most targets behind it is first, of equals the one whose name is.
pub(super) fn before(a: &Declared, b: &Declared) -> Ordering {
    b.targets.cmp(&a.targets).then_with(|| (&a.provider, &a.origin).cmp(&(&b.provider, &b.origin)))
}
