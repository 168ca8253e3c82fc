#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::buckets::{BucketKind, BucketSpec};
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
    BucketSpec { kind: BucketKind::Token, average, period_ns: SECOND, burst }
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
    assert_eq!(state.snapshot().buckets.first().unwrap().spec, spec(1, 2));
    assert_eq!(state.reserve(bucket, "a", 1, 0).remaining, 0);

    recording.apply(&state).unwrap();
    assert_eq!(state.open_bucket("requests"), Ok(bucket), "handles stay");
    assert_eq!(state.reserve(bucket, "a", 1, 0).remaining, 7, "two were spent and one now");
}

#[test]
fn workers_find_only_what_was_recorded() {
    let (_, registry) = setup();
    let state = registry.policy("limit");
    assert_eq!(state.open_bucket("requests"), Err(OpenError::Unknown("bucket", "requests".into())));
    publish(&state, "requests", spec(1, 1));
    assert!(state.open_bucket("requests").is_ok());
    assert!(!state.reserve(7, "a", 1, u64::MAX).granted, "a made-up handle");
}

#[test]
fn one_name_has_one_spec_and_names_are_few() {
    let recording = Recording::default();
    let first = recording.open_bucket("a", spec(1, 1)).unwrap();
    assert_eq!(recording.open_bucket("a", spec(1, 1)), Ok(first));
    assert_eq!(recording.open_bucket("a", spec(2, 1)), Err(OpenError::Twice("bucket", "a".into())));
    assert!(matches!(recording.open_bucket("b", spec(0, 1)), Err(OpenError::Spec(..))));
    for index in 1..MAX_SETS {
        recording.open_bucket(&format!("n{index}"), spec(1, 1)).unwrap();
    }
    assert_eq!(recording.open_bucket("more", spec(1, 1)), Err(OpenError::TooMany("bucket", "more".into())));

    let (_, registry) = setup();
    let state = registry.policy("limit");
    publish(&state, "old", spec(1, 1));
    assert!(matches!(recording.check(&state), Err(OpenError::TooMany(..))));
    assert_eq!(recording.check(&state), recording.apply(&state));
    assert_eq!(state.snapshot().buckets.len(), 1, "a refused recording changes nothing");
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
