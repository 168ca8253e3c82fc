//! The route table: which of thousands of routes answers a request.
//!
//! Routes are ranked once, by priority and then by name. Each is filed under the hosts its rule demands and, within a
//! host, under the literal text its path has to begin with, so a look-up tests only the few routes that can match,
//! in rank order, and the first match wins. Its cost does not grow with the number of routes on other hosts or paths.

use std::collections::HashMap;

use crate::contribution::PathView;
use crate::keys::{self, HostKey};
use crate::rule::{RequestView, Rule};

/// An immutable table of routes carrying values of type `T`.
#[derive(Debug)]
pub struct RouteTable<T> {
    /// In rank order.
    routes: Vec<Ranked<T>>,
    by_host: HashMap<Box<str>, PathIndex>,
    /// By the part after one label, with its leading dot.
    by_suffix: HashMap<Box<str>, PathIndex>,
    any_host: PathIndex,
}

#[derive(Debug)]
struct Ranked<T> {
    rule: std::sync::Arc<Rule>,
    value: T,
}

/// A route on its way into a table.
#[derive(Debug)]
pub struct Entry<T> {
    /// Higher is tried first.
    pub priority: i64,
    /// Breaks ties between equal priorities, smaller first.
    pub name: std::sync::Arc<str>,
    /// When it answers.
    pub rule: std::sync::Arc<Rule>,
    /// What a look-up returns.
    pub value: T,
}

type Rank = u32;

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { routes: Vec::new(), by_host: HashMap::new(), by_suffix: HashMap::new(), any_host: PathIndex::default() }
    }
}

impl<T> RouteTable<T> {
    /// Ranks and files the routes.
    #[must_use]
    pub fn new(mut entries: Vec<Entry<T>>) -> Self {
        entries.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        let mut by_host: HashMap<Box<str>, PathFiler> = HashMap::with_capacity(entries.len());
        let mut by_suffix: HashMap<Box<str>, PathFiler> = HashMap::new();
        let mut any_host = PathFiler::default();
        for (rank, entry) in (0..).zip(&entries) {
            let paths = keys::path_prefixes(&entry.rule);
            match keys::hosts(&entry.rule) {
                None => any_host.file(rank, &paths),
                Some(hosts) => {
                    for host in hosts {
                        let (map, key) = match host {
                            HostKey::Name(name) => (&mut by_host, name),
                            HostKey::Suffix(suffix) => (&mut by_suffix, suffix),
                        };
                        map.entry(key.into()).or_default().file(rank, &paths);
                    }
                }
            }
        }
        Self {
            routes: entries.into_iter().map(|entry| Ranked { rule: entry.rule, value: entry.value }).collect(),
            by_host: by_host.into_iter().map(|(host, filer)| (host, filer.finish())).collect(),
            by_suffix: by_suffix.into_iter().map(|(suffix, filer)| (suffix, filer.finish())).collect(),
            any_host: any_host.finish(),
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
        while let Some(rank) = lists.pop_smallest() {
            let route = self.routes.get(rank as usize)?;
            if route.rule.matches(request) {
                return Some(&route.value);
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
        self.routes.iter().map(|route| (route.rule.as_ref(), &route.value))
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// Ranks filed under the literal text a path has to begin with; the empty text for those that demand none.
#[derive(Debug, Default)]
struct PathIndex {
    /// Sorted by text. The ones that are prefixes of a path form a chain of parents that ends at its predecessor.
    nodes: Vec<PathNode>,
}

#[derive(Debug)]
struct PathNode {
    text: Box<str>,
    /// The longest other text that is a prefix of this one.
    parent: Option<u32>,
    ranks: Vec<Rank>,
}

#[derive(Default)]
struct PathFiler {
    texts: HashMap<String, Vec<Rank>>,
}

impl PathFiler {
    fn file(&mut self, rank: Rank, prefixes: &Option<Vec<String>>) {
        match prefixes {
            None => self.texts.entry(String::new()).or_default().push(rank),
            Some(prefixes) => {
                for prefix in prefixes {
                    self.texts.entry(prefix.clone()).or_default().push(rank);
                }
            }
        }
    }

    fn finish(self) -> PathIndex {
        let mut texts: Vec<_> = self.texts.into_iter().collect();
        texts.sort_unstable();
        let mut nodes: Vec<PathNode> = Vec::with_capacity(texts.len());
        for (text, mut ranks) in texts {
            ranks.sort_unstable();
            ranks.dedup();
            let last = nodes.len().checked_sub(1).and_then(|last| u32::try_from(last).ok());
            let parent = nearest_prefix(&nodes, last, &text);
            nodes.push(PathNode { text: text.into(), parent, ranks });
        }
        PathIndex { nodes }
    }
}

/// From `start` up its parents, the first whose text `path` begins with.
fn nearest_prefix(nodes: &[PathNode], start: Option<u32>, path: &str) -> Option<u32> {
    let mut at = start;
    while let Some(node) = at.and_then(|at| nodes.get(at as usize)) {
        if path.starts_with(&*node.text) {
            return at;
        }
        at = node.parent;
    }
    None
}

impl PathIndex {
    fn collect<'a>(&'a self, request: &RequestView<'_>, lists: &mut Lists<'a>) {
        self.collect_view(request.path.view(PathView::Routing), lists);
        if request.path.has_encodings() {
            self.collect_view(request.path.view(PathView::Decoded), lists);
        }
    }

    fn collect_view<'a>(&'a self, path: &str, lists: &mut Lists<'a>) {
        let after = self.nodes.partition_point(|node| *node.text <= *path);
        let start = after.checked_sub(1).and_then(|at| u32::try_from(at).ok());
        let mut at = nearest_prefix(&self.nodes, start, path);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            lists.push(&node.ranks);
            at = node.parent;
        }
    }
}

/// A handful of sorted lists, read as one. Lives on the stack but for requests that hit unusually many.
#[derive(Default)]
struct Lists<'a> {
    few: [&'a [Rank]; 8],
    used: usize,
    more: Vec<&'a [Rank]>,
}

impl<'a> Lists<'a> {
    fn push(&mut self, list: &'a [Rank]) {
        match self.few.get_mut(self.used) {
            Some(slot) => {
                *slot = list;
                self.used += 1;
            }
            None => self.more.push(list),
        }
    }

    /// Takes the smallest rank out of every list it heads.
    fn pop_smallest(&mut self) -> Option<Rank> {
        let used = self.few.get_mut(..self.used).unwrap_or_default();
        let smallest = used.iter().chain(&self.more).filter_map(|list| list.first()).min().copied()?;
        for list in used.iter_mut().chain(&mut self.more) {
            if let [first, rest @ ..] = list
                && *first == smallest
            {
                *list = rest;
            }
        }
        Some(smallest)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
