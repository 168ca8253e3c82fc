//! Buckets by the name of the policy that opened them.
//!
//! Takes the names of policies, gives their state by `Arc`. A generation holds the state of its policies; state that no
//! generation holds is swept after a grace, so that a policy which vanishes for a moment, as while a tag is edited,
//! finds its counts again.
//!
//! Limits change only when a generation is published. While the control plane configures and probes a policy it does so
//! against a [`Recording`], which notes what the policy opens and touches nothing; [`Recording::apply`] makes it so.
//! Workers then open by name and get what is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::buckets::{BucketSpec, Buckets, Reservation, SpecError};
use super::clock::Clock;

/// How long state that nobody uses is kept.
pub const GRACE: Duration = Duration::from_secs(600);

/// How many names of buckets one policy may ever use: each holds memory, and versions come and go.
const MAX_BUCKETS: usize = 16;

/// Why a set of buckets cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its limits make no sense.
    #[error("opening bucket `{0}`: {1}")]
    Spec(String, SpecError),
    /// One name, two specs.
    #[error("opening bucket `{0}`: it is open with other limits; give each its own name")]
    Twice(String),
    /// Too many names.
    #[error("opening bucket `{0}`: a policy may use {MAX_BUCKETS} names of buckets, reuse one of them")]
    TooMany(String),
    /// A worker opens what was not opened when the policy was prepared.
    #[error("opening bucket `{0}`: it was not opened while the policy was prepared; open the same buckets each time")]
    Unknown(String),
}

/// The state of every policy.
pub struct Registry {
    clock: Arc<dyn Clock>,
    grace_ns: u64,
    policies: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    state: Arc<PolicyState>,
    /// When it was first seen without a user.
    unused_since: Option<u64>,
}

/// The buckets of one policy, shared by all workers and all generations.
pub struct PolicyState {
    clock: Arc<dyn Clock>,
    /// Only ever grows, so that a handle means the same for as long as the state lives.
    buckets: ArcSwap<Vec<Named>>,
    /// Held while buckets are added.
    growing: Mutex<()>,
}

#[derive(Clone)]
struct Named {
    name: Arc<str>,
    buckets: Arc<Buckets>,
}

/// What a policy opens while it is prepared. Decisions are those of buckets that are full.
#[derive(Debug, Default)]
pub struct Recording {
    opened: Mutex<Vec<(String, BucketSpec)>>,
}

/// A set of buckets as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSnapshot {
    /// As the policy named it.
    pub name: String,
    /// The limits of every bucket.
    pub spec: BucketSpec,
    /// How many keys are kept.
    pub keys: usize,
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
        Self { clock, grace_ns, policies: Mutex::default() }
    }

    /// The state of a policy, old or new. Whoever keeps it keeps it alive.
    pub fn policy(&self, name: &str) -> Arc<PolicyState> {
        let mut policies = lock(&self.policies);
        if let Some(entry) = policies.get_mut(name) {
            entry.unused_since = None;
            return Arc::clone(&entry.state);
        }
        let state = Arc::new(PolicyState::new(Arc::clone(&self.clock)));
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
            for named in state.buckets.load().iter() {
                named.buckets.sweep(now);
            }
        }
    }
}

impl PolicyState {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buckets: ArcSwap::default(), growing: Mutex::new(()) }
    }

    /// The handle of buckets that a published recording opened. Limits are those of the recording.
    ///
    /// # Errors
    /// There are none of this name.
    pub fn open_bucket(&self, name: &str) -> Result<u32, OpenError> {
        let buckets = self.buckets.load();
        let index = buckets.iter().position(|named| &*named.name == name);
        let handle = index.and_then(|index| u32::try_from(index).ok());
        handle.ok_or_else(|| OpenError::Unknown(name.to_owned()))
    }

    /// Takes tokens, see [`Buckets::reserve`]. A handle nobody was given is refused for ever.
    pub fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation {
        match self.buckets.load().get(bucket as usize) {
            Some(named) => named.buckets.reserve(key, cost, max_wait_ns, self.clock.now_ns()),
            None => NEVER,
        }
    }

    /// Gives back what a granted reservation took.
    pub fn refund(&self, bucket: u32, key: &str, cost: u32) {
        if let Some(named) = self.buckets.load().get(bucket as usize) {
            named.buckets.refund(key, cost, self.clock.now_ns());
        }
    }

    /// What there is, for looking at it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BucketSnapshot> {
        let snapshot = |named: &Named| BucketSnapshot {
            name: named.name.to_string(),
            spec: named.buckets.spec(),
            keys: named.buckets.keys(),
        };
        self.buckets.load().iter().map(snapshot).collect()
    }

    fn apply(&self, opened: &[(String, BucketSpec)]) -> Result<(), OpenError> {
        let _growing = lock(&self.growing);
        let mut buckets = Vec::clone(&self.buckets.load());
        let is_known = |name: &str| buckets.iter().any(|named| &*named.name == name);
        let new: Vec<_> = opened.iter().filter(|(name, _)| !is_known(name)).collect();
        if let Some((name, _)) = new.get(MAX_BUCKETS.saturating_sub(buckets.len())) {
            return Err(OpenError::TooMany(name.clone()));
        }
        buckets.extend(
            new.iter().map(|(name, spec)| Named { name: name.as_str().into(), buckets: Arc::new(Buckets::new(*spec)) }),
        );
        let now = self.clock.now_ns();
        for named in &buckets {
            if let Some((_, spec)) = opened.iter().find(|(name, _)| **name == *named.name) {
                named.buckets.respec(*spec, now);
            }
        }
        self.buckets.store(Arc::new(buckets));
        Ok(())
    }
}

impl Recording {
    /// Notes a bucket, and gives a handle that is good for this recording alone.
    ///
    /// # Errors
    /// The limits make no sense, or do not fit to what was opened before.
    pub fn open_bucket(&self, name: &str, spec: BucketSpec) -> Result<u32, OpenError> {
        spec.validate().map_err(|error| OpenError::Spec(name.to_owned(), error))?;
        let mut opened = lock(&self.opened);
        let index = match opened.iter().position(|(other, _)| other == name) {
            Some(index) if opened.get(index).is_some_and(|(_, other)| *other != spec) => {
                return Err(OpenError::Twice(name.to_owned()));
            }
            Some(index) => index,
            None if opened.len() >= MAX_BUCKETS => return Err(OpenError::TooMany(name.to_owned())),
            None => {
                opened.push((name.to_owned(), spec));
                opened.len() - 1
            }
        };
        u32::try_from(index).map_err(|_| OpenError::TooMany(name.to_owned()))
    }

    /// What a full bucket would answer. Nothing is taken: a probe costs no client a token.
    pub fn reserve(&self, bucket: u32, _key: &str, cost: u32, _max_wait_ns: u64) -> Reservation {
        let opened = lock(&self.opened);
        let burst = opened.get(bucket as usize).map_or(0, |(_, spec)| spec.burst);
        match burst.checked_sub(u64::from(cost)) {
            Some(remaining) if burst > 0 => Reservation { granted: true, wait_ns: 0, remaining },
            _ => NEVER,
        }
    }

    /// Opens what was noted, or changes its limits and keeps its counts. Call it when the generation is certain to be
    /// published, and before its workers open anything.
    ///
    /// # Errors
    /// The policy has used too many names; nothing is changed.
    pub fn apply(&self, state: &PolicyState) -> Result<(), OpenError> {
        state.apply(&lock(&self.opened))
    }

    /// Whether [`apply`](Self::apply) would succeed, for refusing a generation before anything of it is published.
    ///
    /// # Errors
    /// As `apply`.
    pub fn check(&self, state: &PolicyState) -> Result<(), OpenError> {
        let opened = lock(&self.opened);
        let buckets = state.buckets.load();
        let is_new = |(name, _): &&(String, BucketSpec)| !buckets.iter().any(|named| *named.name == **name);
        let mut new = opened.iter().filter(is_new);
        match new.nth(MAX_BUCKETS.saturating_sub(buckets.len())) {
            Some((name, _)) => Err(OpenError::TooMany(name.clone())),
            None => Ok(()),
        }
    }
}

/// The answer where there is no bucket.
const NEVER: Reservation = Reservation { granted: false, wait_ns: u64::MAX, remaining: 0 };

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Registry").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PolicyState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PolicyState").field("buckets", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct ByHand(AtomicU64);

    impl Clock for ByHand {
        fn now_ns(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    const SECOND: u64 = 1_000_000_000;

    fn spec(average: u64, burst: u64) -> BucketSpec {
        BucketSpec { average, period_ns: SECOND, burst }
    }

    fn setup() -> (Arc<ByHand>, Registry) {
        let clock = Arc::new(ByHand::default());
        let registry = Registry::new(Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, registry)
    }

    fn publish(state: &PolicyState, name: &str, spec: BucketSpec) {
        let recording = Recording::default();
        recording.open_bucket(name, spec).unwrap();
        recording.check(state).unwrap();
        recording.apply(state).unwrap();
    }

    #[test]
    fn preparing_a_policy_changes_nothing_until_it_is_applied() {
        let (_, registry) = setup();
        let state = registry.policy("limit");
        publish(&state, "requests", spec(1, 2));
        let bucket = state.open_bucket("requests").unwrap();
        assert!(state.reserve(bucket, "a", 1, 0).granted);

        let recording = Recording::default();
        let probe = recording.open_bucket("requests", spec(1, 10)).unwrap();
        for _ in 0..50 {
            assert!(recording.reserve(probe, "a", 1, 0).granted);
        }
        assert_eq!(state.snapshot().first().unwrap().spec, spec(1, 2));
        assert_eq!(state.reserve(bucket, "a", 1, 0).remaining, 0);

        recording.apply(&state).unwrap();
        assert_eq!(state.open_bucket("requests"), Ok(bucket), "handles stay");
        assert_eq!(state.reserve(bucket, "a", 1, 0).remaining, 7, "two were spent and one now");
    }

    #[test]
    fn workers_find_only_what_was_recorded() {
        let (_, registry) = setup();
        let state = registry.policy("limit");
        assert_eq!(state.open_bucket("requests"), Err(OpenError::Unknown("requests".into())));
        publish(&state, "requests", spec(1, 1));
        assert!(state.open_bucket("requests").is_ok());
        assert!(!state.reserve(7, "a", 1, u64::MAX).granted, "a made-up handle");
    }

    #[test]
    fn one_name_has_one_spec_and_names_are_few() {
        let recording = Recording::default();
        let first = recording.open_bucket("a", spec(1, 1)).unwrap();
        assert_eq!(recording.open_bucket("a", spec(1, 1)), Ok(first));
        assert_eq!(recording.open_bucket("a", spec(2, 1)), Err(OpenError::Twice("a".into())));
        assert!(matches!(recording.open_bucket("b", spec(0, 1)), Err(OpenError::Spec(..))));
        for index in 1..MAX_BUCKETS {
            recording.open_bucket(&format!("n{index}"), spec(1, 1)).unwrap();
        }
        assert_eq!(recording.open_bucket("more", spec(1, 1)), Err(OpenError::TooMany("more".into())));

        let (_, registry) = setup();
        let state = registry.policy("limit");
        publish(&state, "old", spec(1, 1));
        assert!(matches!(recording.check(&state), Err(OpenError::TooMany(_))));
        assert_eq!(recording.check(&state), recording.apply(&state));
        assert_eq!(state.snapshot().len(), 1, "a refused recording changes nothing");
    }

    #[test]
    fn unused_state_is_kept_for_a_grace_and_counts_survive_it() {
        let (clock, registry) = setup();
        let state = registry.policy("limit");
        publish(&state, "requests", spec(1, 1_000_000));
        let bucket = state.open_bucket("requests").unwrap();
        state.reserve(bucket, "a", 1_000_000, 0);
        drop(state);

        registry.sweep();
        clock.0.store(599 * SECOND, Ordering::Relaxed);
        registry.sweep();
        let again = registry.policy("limit");
        assert_eq!(again.reserve(bucket, "a", 1, 0).remaining, 598, "what came back in 599 s, less one");

        clock.0.store(5_000 * SECOND, Ordering::Relaxed);
        registry.sweep();
        assert_eq!(registry.names(), ["limit"], "it is in use");
        drop(again);
        registry.sweep();
        clock.0.store(5_600 * SECOND, Ordering::Relaxed);
        registry.sweep();
        assert_eq!(registry.names(), Vec::<String>::new());
        assert!(registry.find("limit").is_none());
    }
}
