//! The route table: which of thousands of routes answers a request.
//!
//! Routes are ranked by priority and then by name. Each is filed under the hosts its rule demands and, within a host,
//! under the literal text its path has to begin with, so a look-up tests only the few routes that can match, in rank
//! order, and the first match wins. Its cost does not grow with the number of routes on other hosts or paths.
//!
//! A copy shares everything with the original; a change files anew what is on the same hosts.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contribution::PathView;
use crate::keys::{self, HostKey};
use crate::rule::{RequestView, Rule};
use crate::shards::Shards;

/// A table of routes carrying values of type `T`.
#[derive(Debug)]
pub struct RouteTable<T> {
    by_name: Shards<Arc<Entry<T>>>,
    by_host: Shards<Arc<PathIndex<T>>>,
    /// By the part after one label, with its leading dot.
    by_suffix: Shards<Arc<PathIndex<T>>>,
    any_host: Arc<PathIndex<T>>,
}

/// A route in a table.
#[derive(Debug)]
pub struct Entry<T> {
    /// Higher is tried first.
    pub priority: i64,
    /// Breaks ties between equal priorities, smaller first. No two routes of a table have the same.
    pub name: Arc<str>,
    /// When it answers.
    pub rule: Arc<Rule>,
    /// What a look-up returns.
    pub value: T,
}

/// A route to be filed, or taken out.
struct Move<T> {
    entry: Arc<Entry<T>>,
    stays: bool,
}

/// By host, where one is demanded, and by the text a path has to begin with.
type Moves<T> = BTreeMap<Option<HostKey>, BTreeMap<String, Vec<Move<T>>>>;

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            by_name: Shards::default(),
            by_host: Shards::default(),
            by_suffix: Shards::default(),
            any_host: Arc::default(),
        }
    }
}

impl<T> Clone for RouteTable<T> {
    fn clone(&self) -> Self {
        Self {
            by_name: self.by_name.clone(),
            by_host: self.by_host.clone(),
            by_suffix: self.by_suffix.clone(),
            any_host: Arc::clone(&self.any_host),
        }
    }
}

impl<T> Entry<T> {
    fn rank(&self, other: &Self) -> Ordering {
        other.priority.cmp(&self.priority).then_with(|| self.name.cmp(&other.name))
    }
}

impl<T> RouteTable<T> {
    /// Ranks and files the routes.
    #[must_use]
    pub fn new(entries: Vec<Entry<T>>) -> Self {
        let mut table = Self::default();
        table.change([], entries);
        table
    }

    /// Takes routes out by name, then files others; each takes the place of the one that has its name.
    pub fn change<'a>(&mut self, gone: impl IntoIterator<Item = &'a str>, entries: Vec<Entry<T>>) {
        let mut moves = Moves::new();
        for name in gone {
            file(&mut moves, self.by_name.remove(name), false);
        }
        for entry in entries.into_iter().map(Arc::new) {
            file(&mut moves, self.by_name.insert(Arc::clone(&entry.name), Arc::clone(&entry)), false);
            file(&mut moves, Some(entry), true);
        }
        for (host, moves) in moves {
            let (map, key) = match host {
                None => {
                    self.any_host = Arc::new(self.any_host.changed(&moves));
                    continue;
                }
                Some(HostKey::Name(name)) => (&mut self.by_host, name),
                Some(HostKey::Suffix(suffix)) => (&mut self.by_suffix, suffix),
            };
            let index =
                map.get(&key).map_or_else(|| PathIndex::default().changed(&moves), |known| known.changed(&moves));
            map.set(&key.into(), (!index.nodes.is_empty()).then(|| Arc::new(index)));
        }
    }

    /// The value of the first route, in rank order, whose rule matches.
    #[must_use]
    pub fn find(&self, request: &RequestView<'_>) -> Option<&T> {
        let host = request.host.strip_suffix('.').unwrap_or(request.host);
        let mut lists = Lists::default();
        if let Some(index) = self.by_host.get(host) {
            index.collect(request, &mut lists);
        }
        if !self.by_suffix.is_empty()
            && let Some(dot) = host.find('.')
            && let Some(index) = host.get(dot..).and_then(|suffix| self.by_suffix.get(suffix))
        {
            index.collect(request, &mut lists);
        }
        self.any_host.collect(request, &mut lists);
        while let Some(entry) = lists.pop_first() {
            if entry.rule.matches(request) {
                return Some(&entry.value);
            }
        }
        None
    }

    /// Whether a route demands this host, which is in lower case and without its port.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let suffix = host.find('.').and_then(|dot| host.get(dot..));
        self.by_host.contains_key(host) || suffix.is_some_and(|suffix| self.by_suffix.contains_key(suffix))
    }

    /// Whether a route may answer any host.
    #[must_use]
    pub fn has_any_host(&self) -> bool {
        !self.any_host.nodes.is_empty()
    }

    /// Every route in rank order, with its rule: for explanations, not for requests.
    pub fn iter(&self) -> impl Iterator<Item = (&Rule, &T)> {
        let mut entries: Vec<_> = self.by_name.values().collect();
        entries.sort_unstable_by(|a, b| a.rank(b));
        entries.into_iter().map(|entry| (entry.rule.as_ref(), &entry.value))
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

fn file<T>(moves: &mut Moves<T>, entry: Option<Arc<Entry<T>>>, stays: bool) {
    let Some(entry) = entry else { return };
    let texts = keys::path_prefixes(&entry.rule).unwrap_or_else(|| vec![String::new()]);
    let hosts = keys::hosts(&entry.rule).map_or_else(|| vec![None], |hosts| hosts.into_iter().map(Some).collect());
    for host in hosts {
        let by_text = moves.entry(host).or_default();
        for text in &texts {
            by_text.entry(text.clone()).or_default().push(Move { entry: Arc::clone(&entry), stays });
        }
    }
}

/// Routes filed under the literal text a path has to begin with; the empty text for those that demand none.
#[derive(Debug)]
struct PathIndex<T> {
    /// Sorted by text. The ones that are prefixes of a path form a chain of parents that ends at its predecessor.
    nodes: Vec<PathNode<T>>,
}

#[derive(Debug)]
struct PathNode<T> {
    text: Arc<str>,
    /// The longest other text that is a prefix of this one.
    parent: Option<u32>,
    /// In rank order.
    entries: Arc<[Arc<Entry<T>>]>,
}

impl<T> Default for PathIndex<T> {
    fn default() -> Self {
        Self { nodes: Vec::new() }
    }
}

impl<T> Clone for PathNode<T> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), parent: self.parent, entries: Arc::clone(&self.entries) }
    }
}

impl<T> PathNode<T> {
    /// The routes of one text after some have moved; none where none are left.
    fn changed(text: &str, before: Option<&Self>, moves: &[Move<T>]) -> Option<Self> {
        let leaves = |entry: &Arc<Entry<T>>| moves.iter().any(|one| !one.stays && Arc::ptr_eq(&one.entry, entry));
        let kept = before.into_iter().flat_map(|node| node.entries.iter());
        let came = moves.iter().filter(|one| one.stays).map(|one| &one.entry);
        let mut entries: Vec<_> = kept.chain(came).filter(|entry| !leaves(entry)).map(Arc::clone).collect();
        entries.sort_unstable_by(|a, b| a.rank(b));
        let text = before.map_or_else(|| text.into(), |node| Arc::clone(&node.text));
        (!entries.is_empty()).then(|| Self { text, parent: None, entries: entries.into() })
    }
}

/// From `start` up its parents, the first whose text `path` begins with.
fn nearest_prefix<T>(nodes: &[PathNode<T>], start: Option<u32>, path: &str) -> Option<u32> {
    let mut at = start;
    while let Some(node) = at.and_then(|at| nodes.get(at as usize)) {
        if path.starts_with(&*node.text) {
            return at;
        }
        at = node.parent;
    }
    None
}

impl<T> PathIndex<T> {
    /// Merges what moves, by text, into what is there.
    fn changed(&self, moves: &BTreeMap<String, Vec<Move<T>>>) -> Self {
        let mut changed = Self { nodes: Vec::with_capacity(self.nodes.len() + moves.len()) };
        let mut before = self.nodes.iter().peekable();
        for (text, moves) in moves {
            while let Some(node) = before.next_if(|node| *node.text < **text) {
                changed.push(node.clone());
            }
            let known = before.next_if(|node| *node.text == **text);
            if let Some(node) = PathNode::changed(text, known, moves) {
                changed.push(node);
            }
        }
        before.for_each(|node| changed.push(node.clone()));
        changed
    }

    fn push(&mut self, mut node: PathNode<T>) {
        let last = self.nodes.len().checked_sub(1).and_then(|last| u32::try_from(last).ok());
        node.parent = nearest_prefix(&self.nodes, last, &node.text);
        self.nodes.push(node);
    }

    fn collect<'a>(&'a self, request: &RequestView<'_>, lists: &mut Lists<'a, T>) {
        self.collect_view(request.path.view(PathView::Routing), lists);
        if request.path.has_encodings() {
            self.collect_view(request.path.view(PathView::Decoded), lists);
        }
    }

    fn collect_view<'a>(&'a self, path: &str, lists: &mut Lists<'a, T>) {
        let after = self.nodes.partition_point(|node| *node.text <= *path);
        let start = after.checked_sub(1).and_then(|at| u32::try_from(at).ok());
        let mut at = nearest_prefix(&self.nodes, start, path);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            lists.push(&node.entries);
            at = node.parent;
        }
    }
}

/// A handful of sorted lists, read as one. Lives on the stack but for requests that hit unusually many.
struct Lists<'a, T> {
    few: [&'a [Arc<Entry<T>>]; 8],
    used: usize,
    more: Vec<&'a [Arc<Entry<T>>]>,
}

impl<T> Default for Lists<'_, T> {
    fn default() -> Self {
        Self { few: [&[]; 8], used: 0, more: Vec::new() }
    }
}

impl<'a, T> Lists<'a, T> {
    fn push(&mut self, list: &'a [Arc<Entry<T>>]) {
        match self.few.get_mut(self.used) {
            Some(slot) => {
                *slot = list;
                self.used += 1;
            }
            None => self.more.push(list),
        }
    }

    /// Takes the first in rank order out of every list it heads.
    fn pop_first(&mut self) -> Option<&'a Entry<T>> {
        let used = self.few.get_mut(..self.used).unwrap_or_default();
        let heads = used.iter().chain(&self.more).filter_map(|list| list.first());
        let first = heads.min_by(|a, b| a.rank(b))?;
        for list in used.iter_mut().chain(&mut self.more) {
            if let [head, rest @ ..] = list
                && Arc::ptr_eq(head, first)
            {
                *list = rest;
            }
        }
        Some(first)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
