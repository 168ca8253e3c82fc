//! Maglev: a table of slots, each owned by a target; a client's hash names a slot (Eisenbud and others, NSDI 2016).

use super::hash::fnv1a;

/// Table sizes, all prime. The smallest that gives a target a hundred slots is used: shares then are off by one in a
/// hundred at most.
const SIZES: [usize; 5] = [251, 1021, 4093, 16_381, 65_521];
const SLOTS_PER_TARGET: usize = 100;

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maglev {
    slots: Vec<u32>,
}

impl Maglev {
    /// Works out the table for targets with these names and weights; a weight of 0 gets no slot.
    #[must_use]
    pub fn new(targets: &[(&str, u32)]) -> Self {
        let heaviest = targets.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        if heaviest == 0 {
            return Self::default();
        }
        let wanted = targets.len().saturating_mul(SLOTS_PER_TARGET);
        let size = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(65_521);
        let mut table = Filling { slots: vec![None; size], free: size };
        let mut takers: Vec<_> = targets.iter().map(|(name, weight)| Taker::new(name, *weight, size)).collect();
        while table.free > 0 {
            for (at, taker) in takers.iter_mut().enumerate() {
                // Every round a target saves up its weight; the heaviest can afford a slot each time.
                taker.saved += u64::from(taker.weight);
                if taker.saved >= u64::from(heaviest) {
                    taker.saved -= u64::from(heaviest);
                    table.give(taker, at);
                }
            }
        }
        Self { slots: table.slots.into_iter().flatten().collect() }
    }

    /// The targets in the order a client with this hash should be offered them. A target may come up more than once.
    pub fn from_hash(&self, hash: u64) -> impl Iterator<Item = usize> {
        let size = self.slots.len() as u64;
        let start = hash.checked_rem(size).and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
        let (before, after) = self.slots.split_at(start);
        after.iter().chain(before).map(|at| *at as usize)
    }
}

struct Filling {
    slots: Vec<Option<u32>>,
    free: usize,
}

/// A target's order of preference among slots.
struct Taker {
    weight: u32,
    saved: u64,
    next: usize,
    skip: usize,
}

impl Taker {
    fn new(name: &str, weight: u32, size: usize) -> Self {
        let within = |hash: u64, size: usize| usize::try_from(hash % size as u64).unwrap_or(0);
        let next = within(fnv1a(&[name.as_bytes(), b"offset"]), size);
        let skip = within(fnv1a(&[name.as_bytes(), b"skip"]), size - 1) + 1;
        Self { weight, saved: 0, next, skip }
    }
}

impl Filling {
    /// Gives a target the first free slot in its order.
    fn give(&mut self, taker: &mut Taker, owner: usize) {
        let size = self.slots.len();
        for _ in 0..size {
            let slot = taker.next;
            taker.next = (taker.next + taker.skip) % size;
            if let Some(free @ None) = self.slots.get_mut(slot) {
                *free = Some(u32::try_from(owner).unwrap_or(u32::MAX));
                self.free -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("http://10.0.0.{at}:80")).collect()
    }

    fn shares(table: &Maglev, count: usize) -> Vec<usize> {
        (0..count).map(|target| table.slots.iter().filter(|at| **at as usize == target).count()).collect()
    }

    #[test]
    fn shares_are_even() {
        let names = names(7);
        let targets: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let shares = shares(&Maglev::new(&targets), 7);
        let (least, most) = (shares.iter().min().copied(), shares.iter().max().copied());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{shares:?}");
    }

    #[test]
    fn few_clients_move_when_a_target_goes() {
        let names = names(10);
        let targets: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let (all, fewer) = (Maglev::new(&targets), Maglev::new(&targets[..9]));
        let moved = (0..10_000_u64).filter(|client| {
            let hash = fnv1a(&[&client.to_be_bytes()]);
            let before = all.from_hash(hash).next();
            before != Some(9) && fewer.from_hash(hash).next() != before
        });
        let moved = moved.count();
        assert!(moved < 1500, "{moved} of 10,000 clients moved although their target stayed");
    }

    #[test]
    fn nothing_is_offered_where_nothing_is() {
        assert_eq!(Maglev::new(&[]).from_hash(7).next(), None);
        assert_eq!(Maglev::new(&[("a", 0)]).from_hash(7).next(), None);
    }

    proptest! {
        #[test]
        fn tables_are_full_and_weights_count(weights in prop::collection::vec(0_u32..5, 1..12), hash: u64) {
            let names = names(weights.len());
            let targets: Vec<_> = names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
            let table = Maglev::new(&targets);
            let total: u32 = weights.iter().sum();
            prop_assert_eq!(table.slots.is_empty(), total == 0);
            for (share, weight) in shares(&table, weights.len()).into_iter().zip(&weights) {
                let wanted = f64::from(*weight) / f64::from(total.max(1)) * table.slots.len() as f64;
                prop_assert!((share as f64 - wanted).abs() <= 6.0, "{share} for {weight} of {total}");
            }
            let offered: std::collections::BTreeSet<_> = table.from_hash(hash).collect();
            prop_assert_eq!(offered.len(), weights.iter().filter(|weight| **weight > 0).count());
        }
    }
}
