//! Who is right when instances disagree: the version of most instances, and among equals the one of the smallest
//! instance id, so that the outcome never depends on order.

use std::collections::BTreeSet;

/// Different versions of one thing.
#[derive(Debug)]
pub(crate) struct Ballot<V> {
    versions: Vec<Version<V>>,
}

/// One version, and the ids of the instances behind it.
#[derive(Debug)]
pub(crate) struct Version<V> {
    pub(crate) value: V,
    voters: BTreeSet<String>,
}

/// The outcome.
#[derive(Debug)]
pub(crate) struct Decision<V> {
    pub(crate) winner: Version<V>,
    /// The strongest of the others, where there are any.
    pub(crate) loser: Option<Version<V>>,
}

impl<V> Default for Ballot<V> {
    fn default() -> Self {
        Self { versions: Vec::new() }
    }
}

impl<V> Ballot<V> {
    /// Counts instances for a value, which is the same version as another where `same` says so.
    pub(crate) fn add<'a>(&mut self, value: V, voters: impl IntoIterator<Item = &'a str>, same: fn(&V, &V) -> bool) {
        let at = self.versions.iter().position(|known| same(&known.value, &value)).unwrap_or(self.versions.len());
        if at == self.versions.len() {
            self.versions.push(Version { value, voters: BTreeSet::new() });
        }
        if let Some(version) = self.versions.get_mut(at) {
            version.voters.extend(voters.into_iter().map(str::to_owned));
        }
    }

    /// The winner; nothing where nothing was added.
    pub(crate) fn decide(mut self) -> Option<Decision<V>> {
        let winner = self.take_strongest()?;
        Some(Decision { winner, loser: self.take_strongest() })
    }

    fn take_strongest(&mut self) -> Option<Version<V>> {
        let mut best = 0;
        for (at, version) in self.versions.iter().enumerate() {
            if self.versions.get(best).is_some_and(|known| version.beats(known)) {
                best = at;
            }
        }
        (best < self.versions.len()).then(|| self.versions.swap_remove(best))
    }
}

impl<V> Version<V> {
    fn beats(&self, other: &Self) -> bool {
        let (mine, others) = (self.voters.len(), other.voters.len());
        mine > others || (mine == others && self.voters.first() < other.voters.first())
    }

    /// How many instances, and some of them, for people.
    pub(crate) fn shown(&self) -> String {
        let some: Vec<&str> = self.voters.iter().take(3).map(String::as_str).collect();
        let more = if self.voters.len() > some.len() { ", …" } else { "" };
        format!("{} ({}{more})", self.voters.len(), some.join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn decide(votes: &[(&'static str, &str)]) -> Option<(&'static str, Option<&'static str>)> {
        let mut ballot = Ballot::default();
        for (value, id) in votes {
            ballot.add(*value, [*id], |a, b| a == b);
        }
        ballot.decide().map(|decision| (decision.winner.value, decision.loser.map(|loser| loser.value)))
    }

    #[test]
    fn most_instances_win_and_ties_go_to_the_smallest_id() {
        assert_eq!(decide(&[]), None);
        assert_eq!(decide(&[("a", "1")]), Some(("a", None)));
        assert_eq!(decide(&[("a", "1"), ("a", "2")]), Some(("a", None)));
        assert_eq!(decide(&[("a", "1"), ("b", "2"), ("b", "3")]), Some(("b", Some("a"))));
        assert_eq!(decide(&[("a", "2"), ("b", "1")]), Some(("b", Some("a"))));
        assert_eq!(
            decide(&[("a", "1"), ("a", "1"), ("b", "2"), ("b", "3")]),
            Some(("b", Some("a"))),
            "an id counts once"
        );
    }

    #[test]
    fn people_see_a_few_ids() {
        let mut ballot = Ballot::default();
        ballot.add((), ["d", "c", "b", "a"], |_, _| true);
        assert_eq!(ballot.decide().unwrap().winner.shown(), "4 (a, b, c, …)");
    }

    proptest! {
        #[test]
        fn order_does_not_matter(votes in prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), 0..100_u8), 0..12)) {
            // An instance has one opinion.
            let votes: std::collections::BTreeMap<String, &'static str> = votes.into_iter().map(|(value, id)| (id.to_string(), value)).collect();
            let mut forward: Vec<_> = votes.iter().map(|(id, value)| (*value, id.as_str())).collect();
            let decided = decide(&forward);
            forward.reverse();
            prop_assert_eq!(decide(&forward), decided);
        }
    }
}
