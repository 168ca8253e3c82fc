//! A value for each key, of which the least used go when there are too many.

use std::hash::RandomState;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, UnitWeighter};

/// Values by key. Keys come from clients, who must not be able to make them collide: the hash has a key of its own.
pub(super) struct Keyed<V: Kept> {
    entries: Cache<String, Arc<V>, UnitWeighter, RandomState, Pins>,
}

/// What is kept under a key.
pub(super) trait Kept {
    /// Whether forgetting it would lose more than history, as with a gate that somebody is inside of.
    fn is_busy(&self) -> bool {
        false
    }
}

/// Keeps what is busy.
#[derive(Clone, Copy)]
struct Pins;

impl<V: Kept> Lifecycle<String, Arc<V>> for Pins {
    /// What is evicted is dropped once the cache's lock is free.
    type RequestState = Option<Arc<V>>;

    fn is_pinned(&self, _: &String, value: &Arc<V>) -> bool {
        value.is_busy()
    }

    fn on_evict(&self, state: &mut Option<Arc<V>>, _: String, value: Arc<V>) {
        state.replace(value);
    }
}

impl<V: Kept> Keyed<V> {
    pub(super) fn new(max_keys: usize) -> Self {
        let entries = Cache::with(max_keys, max_keys as u64, UnitWeighter, RandomState::new(), Pins);
        Self { entries }
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        if self.entries.capacity() != max_keys as u64 {
            self.entries.set_capacity(max_keys as u64);
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<V>> {
        self.entries.get(key)
    }

    pub(super) fn get_or(&self, key: &str, make: impl FnOnce() -> V) -> Arc<V> {
        let made: Result<_, std::convert::Infallible> = self.entries.get_or_insert_with(key, || Ok(Arc::new(make())));
        let Ok(value) = made;
        value
    }

    pub(super) fn remove(&self, key: &str) {
        self.entries.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keeps those that `keep` says of, and those that somebody holds: they may be about to change.
    pub(super) fn retain(&self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, value| keep(value) || Arc::strong_count(value) > 1);
    }

    pub(super) fn entries(&self) -> Vec<(String, Arc<V>)> {
        self.entries.iter().collect()
    }
}
