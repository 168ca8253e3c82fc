//! What a rule demands of every request it matches: the hosts, and the beginnings of the path. The route table files
//! routes under these; a rule that demands nothing definite is filed under everything.

use std::collections::BTreeSet;

use crate::rule::{HostPattern, Matcher, Rule};

/// More alternatives than this and a rule is filed under everything instead.
const MOST_KEYS: usize = 64;

/// A host a rule can match, as a look-up key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostKey {
    /// A whole name, without a trailing dot.
    Name(String),
    /// What follows the first label, with its leading dot.
    Suffix(String),
}

/// The hosts one of which every matching request has; `None` when any host may match.
pub(crate) fn hosts(rule: &Rule) -> Option<Vec<HostKey>> {
    demanded(&rule.root, &|leaf| match leaf {
        Matcher::Host(pattern) => host(pattern),
        _ => None,
    })
}

/// The key a pattern is found under; `None` for one that matches every host.
pub(crate) fn host(pattern: &HostPattern) -> Option<HostKey> {
    match pattern {
        HostPattern::Name(name) => Some(HostKey::Name(name.clone())),
        HostPattern::Exact(name) => Some(HostKey::Name(name.strip_suffix('.').unwrap_or(name).to_owned())),
        HostPattern::OneLabelBefore(suffix) => Some(HostKey::Suffix(suffix.clone())),
        HostPattern::Every => None,
    }
}

/// The texts one of which every matching path begins with, in one of its views; `None` when any path may match.
pub(crate) fn path_prefixes(rule: &Rule) -> Option<Vec<String>> {
    demanded(&rule.root, &|leaf| match leaf {
        Matcher::Path(path, _) | Matcher::PathPrefix(path, _) => Some(path.clone()),
        _ => None,
    })
}

/// Alternatives one of which holds for every request that matches.
fn demanded<K: Ord>(matcher: &Matcher, key: &impl Fn(&Matcher) -> Option<K>) -> Option<Vec<K>> {
    match matcher {
        Matcher::All(children) => of_all(children.iter().map(|child| demanded(child, key))),
        Matcher::Any(children) => of_any(children.iter().map(|child| demanded(child, key))),
        leaf => key(leaf).map(|key| vec![key]),
    }
}

/// What several conjuncts demand together: the one with the fewest alternatives is the most telling.
pub(crate) fn of_all<K>(children: impl Iterator<Item = Option<Vec<K>>>) -> Option<Vec<K>> {
    children.flatten().min_by_key(Vec::len)
}

/// What one of several alternatives demands, if each of them demands something.
pub(crate) fn of_any<K: Ord>(children: impl Iterator<Item = Option<Vec<K>>>) -> Option<Vec<K>> {
    let mut keys = BTreeSet::new();
    for child in children {
        keys.extend(child?);
    }
    (keys.len() <= MOST_KEYS).then(|| keys.into_iter().collect())
}
