//! Numbers and bytes under keys.

use std::collections::BTreeMap;

/// What a policy may keep, and what an entry takes besides its key and value.
const QUOTA: usize = 1 << 20;
const OVERHEAD: usize = 64;

/// A policy's bytes. The oldest go when room is needed.
#[derive(Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    stored: u64,
}

struct Entry {
    value: Vec<u8>,
    until_ns: Option<u64>,
    order: u64,
}

impl Store {
    pub(super) fn get(&self, key: &str, now_ns: u64) -> Option<Vec<u8>> {
        let entry = self.entries.get(key)?;
        entry.until_ns.is_none_or(|until| now_ns < until).then(|| entry.value.clone())
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], ttl_ns: u64, now_ns: u64) -> Result<(), String> {
        let size = key.len() + value.len() + OVERHEAD;
        if size > QUOTA {
            return Err(format!("{size} bytes are more than the {QUOTA} this policy may keep"));
        }
        self.stored += 1;
        let until_ns = (ttl_ns > 0).then(|| now_ns.saturating_add(ttl_ns));
        self.entries.insert(key.to_owned(), Entry { value: value.to_vec(), until_ns, order: self.stored });
        while self.size() > QUOTA {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.order).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.entries.remove(key);
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|(key, entry)| key.len() + entry.value.len() + OVERHEAD).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_room_is_needed() {
        let mut store = Store::default();
        let half = vec![0; QUOTA / 2 - OVERHEAD - 1];
        for key in ["a", "b", "c"] {
            assert_eq!(store.set(key, &half, 0, 0), Ok(()));
        }
        assert_eq!(store.get("a", 0), None);
        assert!(store.get("b", 0).is_some() && store.get("c", 0).is_some());
        assert!(store.set("d", &vec![0; QUOTA], 0, 0).is_err());
    }
}
