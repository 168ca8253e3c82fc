//! Bytes under keys, for a time, within a quota.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

/// What a policy may keep where the operator says nothing.
pub(super) const QUOTA: u64 = 1 << 20;
/// What an entry takes besides its key and value.
const OVERHEAD: u64 = 64;
/// What an entry is thought to take, for the size of the table.
const USUAL: u64 = 512;

/// One policy's bytes. When room is needed the least used go first.
pub(super) struct Kv {
    entries: Cache<String, Entry, Bytes, RandomState>,
    quota: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    value: Arc<[u8]>,
    /// `u64::MAX` for no end.
    until_ns: u64,
}

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<String, Entry> for Bytes {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        size(key, &entry.value)
    }
}

fn size(key: &str, value: &[u8]) -> u64 {
    OVERHEAD + key.len() as u64 + value.len() as u64
}

impl Kv {
    pub(super) fn new(quota: u64) -> Self {
        let lifecycle = DefaultLifecycle::default();
        // One part: each part would have its own room, and an entry would have to fit into that.
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity((quota / USUAL) as usize).weight_capacity(quota);
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, Bytes, RandomState::new(), lifecycle),
            Err(_) => unreachable!("every needed option is given"),
        };
        Self { entries, quota: AtomicU64::new(quota) }
    }

    pub(super) fn get(&self, key: &str, now_ns: u64) -> Option<Vec<u8>> {
        let entry = self.entries.get(key)?;
        (now_ns < entry.until_ns).then(|| entry.value.to_vec())
    }

    /// `ttl_ns` of 0 is no end.
    pub(super) fn set(&self, key: &str, value: Vec<u8>, ttl_ns: u64, now_ns: u64) -> Result<(), String> {
        let (room, size) = (self.quota.load(Ordering::Relaxed), size(key, &value));
        if size > room {
            return Err(format!("an entry of {size} bytes is more than the {room} this policy may keep"));
        }
        let until_ns = if ttl_ns == 0 { u64::MAX } else { now_ns.saturating_add(ttl_ns) };
        self.entries.insert(key.to_owned(), Entry { value: value.into(), until_ns });
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) {
        self.entries.remove(key);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub(super) fn set_quota(&self, quota: u64) {
        if self.quota.swap(quota, Ordering::Relaxed) != quota {
            self.entries.set_capacity(quota);
        }
    }

    /// Forgets what is over.
    pub(super) fn sweep(&self, now_ns: u64) {
        self.entries.retain(|_, entry| now_ns < entry.until_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_the_quota_holds() {
        let kv = Kv::new(4096);
        assert_eq!(kv.set("a", vec![1; 100], 10, 0), Ok(()));
        assert_eq!(kv.get("a", 9).map(|value| value.len()), Some(100));
        assert_eq!(kv.get("a", 10), None);
        for key in 0..100 {
            assert_eq!(kv.set(&key.to_string(), vec![0; 1000], 0, 10), Ok(()));
            assert!(kv.bytes() <= 4096, "{} bytes", kv.bytes());
        }
        assert!(kv.set("large", vec![0; 4096], 0, 0).is_err());
        kv.set_quota(0);
        assert_eq!(kv.bytes(), 0);
    }

    #[test]
    fn what_is_deleted_or_over_takes_no_room() {
        let kv = Kv::new(QUOTA);
        kv.set("a", vec![0; 10], 5, 0).ok();
        kv.set("b", vec![0; 10], 0, 0).ok();
        kv.delete("b");
        kv.sweep(5);
        assert_eq!(kv.bytes(), 0);
    }
}
