//! The table of TCP routes: filed under the server names their rules demand, tried in rank order, first match wins.

use std::collections::HashMap;
use std::sync::Arc;

use super::rule::{ConnectionView, TcpRule};
use crate::keys::HostKey;

/// An immutable table of TCP routes carrying values of type `T`.
#[derive(Debug)]
pub struct TcpTable<T> {
    /// In rank order.
    routes: Vec<(Arc<TcpRule>, T)>,
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// By the part after one label, with its leading dot.
    by_suffix: HashMap<Box<str>, Vec<usize>>,
    any_name: Vec<usize>,
}

/// A route on its way into a table.
#[derive(Debug)]
pub struct TcpEntry<T> {
    /// Higher is tried first.
    pub priority: i64,
    /// Breaks ties between equal priorities, smaller first.
    pub name: Arc<str>,
    /// When it answers.
    pub rule: Arc<TcpRule>,
    /// What a look-up returns.
    pub value: T,
}

impl<T> Default for TcpTable<T> {
    fn default() -> Self {
        Self { routes: Vec::new(), by_name: HashMap::new(), by_suffix: HashMap::new(), any_name: Vec::new() }
    }
}

impl<T> TcpTable<T> {
    /// Ranks and files the routes.
    #[must_use]
    pub fn new(mut entries: Vec<TcpEntry<T>>) -> Self {
        entries.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        let mut table = Self::default();
        for (rank, TcpEntry { rule, value, .. }) in entries.into_iter().enumerate() {
            match rule.names() {
                None => table.any_name.push(rank),
                Some(names) => {
                    for name in names {
                        let (map, key) = match name {
                            HostKey::Name(name) => (&mut table.by_name, name),
                            HostKey::Suffix(suffix) => (&mut table.by_suffix, suffix),
                        };
                        map.entry(key.into()).or_default().push(rank);
                    }
                }
            }
            table.routes.push((rule, value));
        }
        table
    }

    /// The value of the first route, in rank order, whose rule matches.
    #[must_use]
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<&T> {
        let name = connection.server_name.strip_suffix('.').unwrap_or(connection.server_name);
        let suffix = name.find('.').and_then(|dot| name.get(dot..));
        let lists =
            [self.by_name.get(name), suffix.and_then(|suffix| self.by_suffix.get(suffix)), Some(&self.any_name)];
        let first = |list: &Vec<usize>| list.iter().copied().find(|rank| self.matches(*rank, connection));
        let rank = lists.into_iter().flatten().filter_map(first).min()?;
        self.routes.get(rank).map(|(_, value)| value)
    }

    fn matches(&self, rank: usize, connection: &ConnectionView<'_>) -> bool {
        self.routes.get(rank).is_some_and(|(rule, _)| rule.matches(connection))
    }

    /// Every route in rank order, with its rule.
    pub fn iter(&self) -> impl Iterator<Item = (&TcpRule, &T)> {
        self.routes.iter().map(|(rule, value)| (rule.as_ref(), value))
    }

    /// Whether there is no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::contribution::{RuleNode, RuleSpec};

    fn entry(name: &'static str, priority: i64, nodes: Vec<RuleNode>) -> TcpEntry<&'static str> {
        let root = u32::try_from(nodes.len() - 1).unwrap();
        let rule = TcpRule::compile(&RuleSpec { text: String::new(), nodes, root }).unwrap();
        TcpEntry { priority, name: name.into(), rule: Arc::new(rule), value: name }
    }

    #[test]
    fn the_first_in_rank_order_that_matches_answers() {
        let host = |name: &str| RuleNode::Host(name.to_owned());
        let table = TcpTable::new(vec![
            entry("all", -1, vec![host("*")]),
            entry("b-tie", 5, vec![host("db.test")]),
            entry("a-tie", 5, vec![host("db.test")]),
            entry("wild", 6, vec![host("*.test")]),
            entry("both", 9, vec![host("one.test"), host("two.net"), RuleNode::Any(vec![0, 1])]),
            entry(
                "office",
                8,
                vec![host("db.net"), RuleNode::ClientIp("10.1.0.0/16".into()), RuleNode::All(vec![0, 1])],
            ),
        ]);
        let found = |name: &str, client: [u8; 4]| {
            table.find(&ConnectionView { server_name: name, alpn: &[], client: client.into() }).copied()
        };
        assert_eq!(found("two.net", [10, 0, 0, 1]), Some("both"));
        assert_eq!(found("db.test", [10, 0, 0, 1]), Some("wild"), "priority goes before precision");
        assert_eq!(found("db.net.", [10, 1, 2, 3]), Some("office"));
        assert_eq!(found("db.net", [10, 2, 2, 3]), Some("all"));
        assert_eq!(found("", [10, 2, 2, 3]), Some("all"));
        let ties = TcpTable::new(vec![entry("b", 5, vec![host("db.test")]), entry("a", 5, vec![host("db.test")])]);
        let view = ConnectionView { server_name: "db.test", alpn: &[], client: [10, 0, 0, 1].into() };
        assert_eq!(ties.find(&view), Some(&"a"));
        assert_eq!(TcpTable::<()>::default().find(&view), None);
    }
}
