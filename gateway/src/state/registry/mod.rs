//! State by the name of the policy that opened it.
//!
//! Takes the names of policies, gives their state by `Arc`. A generation holds the state of its policies; state that no
//! generation holds is swept after a grace, so that a policy which vanishes for a moment, as while a tag is edited,
//! finds its counts again.
//!
//! Limits change only when a generation is published. While the control plane configures and probes a policy it does so
//! against a [`Recording`], which notes what the policy opens and touches nothing; [`Recording::apply`] makes it so.
//! Workers then open by name and get what is there.

mod policy;
mod recording;
mod sets;

pub use policy::{BucketSnapshot, Forced, GateSnapshot, PolicyState, Snapshot};
pub use recording::Recording;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::buckets::SpecError;
use super::clock::Clock;
use super::machine::Machine;
use sets::MAX_SETS;

/// How long state that nobody uses is kept.
pub const GRACE: Duration = Duration::from_secs(600);

/// Why something cannot be opened. The first name says what it is, the second is the policy's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its limits make no sense.
    #[error("opening bucket `{0}`: {1}")]
    Spec(String, SpecError),
    /// One name, two specs.
    #[error("opening {0} `{1}`: it is open with other limits; give each its own name")]
    Twice(&'static str, String),
    /// Too many names.
    #[error("opening {0} `{1}`: a policy may use {MAX_SETS} names of each kind, reuse one of them")]
    TooMany(&'static str, String),
    /// A worker opens what was not opened when the policy was prepared.
    #[error("opening {0} `{1}`: it was not opened while the policy was prepared; open the same each time")]
    Unknown(&'static str, String),
}

/// The state of every policy.
pub struct Registry {
    clock: Arc<dyn Clock>,
    grace_ns: u64,
    machine: Arc<Machine>,
    policies: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    state: Arc<PolicyState>,
    /// When it was first seen without a user.
    unused_since: Option<u64>,
}

impl Registry {
    /// Nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_grace(clock, GRACE)
    }

    /// Nothing yet, and a grace of its own.
    #[must_use]
    pub fn with_grace(clock: Arc<dyn Clock>, grace: Duration) -> Self {
        let grace_ns = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        Self { clock, grace_ns, machine: Arc::default(), policies: Mutex::default() }
    }

    /// The state of a policy, old or new. Whoever keeps it keeps it alive.
    pub fn policy(&self, name: &str) -> Arc<PolicyState> {
        let mut policies = lock(&self.policies);
        if let Some(entry) = policies.get_mut(name) {
            entry.unused_since = None;
            return Arc::clone(&entry.state);
        }
        let state = Arc::new(PolicyState::new(Arc::clone(&self.clock), Arc::clone(&self.machine)));
        policies.insert(name.to_owned(), Entry { state: Arc::clone(&state), unused_since: None });
        state
    }

    /// The state of a policy if there is any, for looking at it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<PolicyState>> {
        lock(&self.policies).get(name).map(|entry| Arc::clone(&entry.state))
    }

    /// The names there is state for, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = lock(&self.policies).keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Drops state that has been without a user for the grace, and full buckets of the rest. Call it now and then: it is
    /// what starts the grace.
    pub fn sweep(&self) {
        let now = self.clock.now_ns();
        let mut kept = Vec::new();
        lock(&self.policies).retain(|_, entry| {
            // New users come through this lock alone, so one reference means nobody.
            if Arc::strong_count(&entry.state) > 1 {
                entry.unused_since = None;
            } else {
                let since = *entry.unused_since.get_or_insert(now);
                if now.saturating_sub(since) >= self.grace_ns {
                    return false;
                }
            }
            kept.push(Arc::clone(&entry.state));
            true
        });
        // Outside the lock: it goes over every key.
        for state in kept {
            state.sweep();
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Registry").field("names", &self.names()).finish_non_exhaustive()
    }
}

/// Nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
