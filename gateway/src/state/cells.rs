//! A number for each key.

use std::sync::atomic::{AtomicU64, Ordering};

use super::buckets::MAX_KEYS;
use super::keyed::{Kept, Keyed};

/// A set of numbers. An absent one is 0.
pub(super) struct Cells(Keyed<AtomicU64>);

impl Kept for AtomicU64 {}

impl Cells {
    pub(super) fn new() -> Self {
        Self(Keyed::new(MAX_KEYS))
    }

    pub(super) fn load(&self, key: &str) -> u64 {
        self.0.get(key).map_or(0, |cell| cell.load(Ordering::Acquire))
    }

    pub(super) fn swap_if(&self, key: &str, expected: u64, new: u64) -> Result<(), u64> {
        let cell = self.0.get_or(key, AtomicU64::default);
        cell.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }

    /// Not beyond either end.
    pub(super) fn add(&self, key: &str, delta: i64) -> u64 {
        let cell = self.0.get_or(key, AtomicU64::default);
        let sum = |number: u64| Some(number.saturating_add_signed(delta));
        let before = cell.fetch_update(Ordering::AcqRel, Ordering::Acquire, sum).unwrap_or_default();
        before.saturating_add_signed(delta)
    }

    pub(super) fn keys(&self) -> usize {
        self.0.len()
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        self.0.set_capacity(max_keys);
    }

    /// Zeros are the same as none.
    pub(super) fn sweep(&self) {
        self.0.retain(|cell| cell.load(Ordering::Acquire) != 0);
    }
}
