//! Who has looked a name up, found or not: the ones to be linked again when it comes to mean something else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A name that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sought {
    Step(Arc<str>),
    Service(Arc<str>),
}

/// Who looks names up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum User {
    Service(Arc<str>),
    Route(Arc<str>),
}

/// Both ways.
#[derive(Debug, Default)]
pub(super) struct Users {
    of: HashMap<Sought, HashSet<User>>,
    by: HashMap<User, HashSet<Sought>>,
}

impl Users {
    /// Somebody has looked up these, and nothing else.
    pub(super) fn note(&mut self, user: User, sought: HashSet<Sought>) {
        self.forget(&user);
        for sought in &sought {
            self.of.entry(sought.clone()).or_default().insert(user.clone());
        }
        if !sought.is_empty() {
            self.by.insert(user, sought);
        }
    }

    /// Somebody is gone.
    pub(super) fn forget(&mut self, user: &User) {
        for sought in self.by.remove(user).into_iter().flatten() {
            if let Some(users) = self.of.get_mut(&sought) {
                users.remove(user);
                if users.is_empty() {
                    self.of.remove(&sought);
                }
            }
        }
    }

    /// Whether nobody is looking for anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty() && self.by.is_empty()
    }

    /// The services that looked a name up.
    pub(super) fn services(&self, sought: &Sought) -> impl Iterator<Item = &Arc<str>> {
        self.of.get(sought).into_iter().flatten().filter_map(|user| match user {
            User::Service(name) => Some(name),
            User::Route(_) => None,
        })
    }

    /// The routes that did.
    pub(super) fn routes(&self, sought: &Sought) -> impl Iterator<Item = &Arc<str>> {
        self.of.get(sought).into_iter().flatten().filter_map(|user| match user {
            User::Route(name) => Some(name),
            User::Service(_) => None,
        })
    }
}
