//! A map by name that is cheap to publish: a copy shares everything with the original, and a change to either copies
//! only the few entries that are kept beside it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;

/// With ten thousand entries a change copies forty of them, and a copy of the map counts this many references.
const SHARDS: usize = 256;

// Clients choose what is looked up, but not what is in here: a seed they do not know is enough, and takes a fifth of the
// time of the standard library's hasher.
type Shard<V> = Arc<HashMap<Arc<str>, V, RandomState>>;

/// Values by name.
#[derive(Clone, Debug)]
pub struct Shards<V> {
    hasher: RandomState,
    /// None of them before there is an entry.
    shards: Vec<Shard<V>>,
    len: usize,
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: Vec::new(), len: 0 }
    }
}

impl<V> Shards<V> {
    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.shards.get(self.place(name))?.get(name)
    }

    /// Whether there is a value of that name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every name and its value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Every value, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Every name and its value, ordered by name: for people.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&Arc<str>, &V)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by_key(|(name, _)| *name);
        entries
    }

    /// Not by the bits a shard files its entries by, or it would file all of them in a corner.
    fn place(&self, name: &str) -> usize {
        let [.., place, _, _, _, _] = self.hasher.hash_one(name).to_be_bytes();
        usize::from(place)
    }
}

impl<V: Clone> Shards<V> {
    /// Puts a value in; gives the one it takes the place of.
    pub fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        let place = self.place(&name);
        if self.shards.is_empty() {
            let empty = || Arc::new(HashMap::with_hasher(self.hasher.clone()));
            self.shards = std::iter::repeat_with(empty).take(SHARDS).collect();
        }
        let replaced = Arc::make_mut(self.shards.get_mut(place)?).insert(name, value);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let place = self.place(name);
        let shard = self.shards.get_mut(place).filter(|shard| shard.contains_key(name))?;
        self.len -= 1;
        Arc::make_mut(shard).remove(name)
    }

    /// Puts a value in, or takes what is there out.
    pub fn set(&mut self, name: &Arc<str>, value: Option<V>) {
        match value {
            Some(value) => self.insert(Arc::clone(name), value),
            None => self.remove(name),
        };
    }
}

impl<V: Clone> FromIterator<(Arc<str>, V)> for Shards<V> {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, V)>>(entries: I) -> Self {
        let mut shards = Self::default();
        for (name, value) in entries {
            shards.insert(name, value);
        }
        shards
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_leaves_the_copy_alone_and_copies_little() {
        let mut map: Shards<usize> = (0..10_000).map(|at| (format!("name-{at}").into(), at)).collect();
        let copy = map.clone();
        assert_eq!(map.insert("name-7".into(), 0), Some(7));
        assert_eq!((map.get("name-7"), copy.get("name-7")), (Some(&0), Some(&7)));
        let shared = map.shards.iter().zip(&copy.shards).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, SHARDS - 1);
        assert!(map.shards.iter().all(|shard| shard.len() < 120), "entries are spread over the shards");
    }

    proptest! {
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0..40_u8, any::<Option<u8>>()), 0..200)) {
            let (mut model, mut map) = (BTreeMap::<Arc<str>, u8>::new(), Shards::default());
            for (name, value) in changes {
                let name: Arc<str> = name.to_string().into();
                let before = map.clone();
                match value {
                    Some(value) => prop_assert_eq!(map.insert(Arc::clone(&name), value), model.insert(name, value)),
                    None => prop_assert_eq!(map.remove(&name), model.remove(&name)),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(before.len().abs_diff(map.len()) < 2);
            }
            prop_assert_eq!(map.sorted(), model.iter().collect::<Vec<_>>());
        }
    }
}
