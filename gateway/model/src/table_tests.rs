//! The table against a naive model: test every route in rank order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::contribution::{RuleNode, RuleSpec};
use crate::path::NormalPath;
use crate::rule::HeaderValues;

struct NoHeaders;

impl HeaderValues for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

fn entry(name: &str, priority: i64, nodes: Vec<RuleNode>) -> Entry<String> {
    let root = u32::try_from(nodes.len()).unwrap() - 1;
    let rule = Arc::new(Rule::compile(&RuleSpec { text: String::new(), nodes, root }).unwrap());
    Entry { priority, name: name.into(), rule, value: name.to_owned() }
}

fn find(table: &RouteTable<String>, host: &str, path: &str) -> Option<String> {
    let path = NormalPath::parse(path).unwrap();
    table.find(&view(host, &path)).cloned()
}

fn view<'a>(host: &'a str, path: &'a NormalPath) -> RequestView<'a> {
    RequestView { host, path, query: None, method: "GET", headers: &NoHeaders, client: [127, 0, 0, 1].into() }
}

fn host(name: &str) -> RuleNode {
    RuleNode::Host(name.into())
}

fn prefix(path: &str) -> RuleNode {
    RuleNode::PathPrefix(path.into(), PathView::Routing)
}

#[test]
fn priority_wins_over_specificity_and_names_break_ties() {
    let table = RouteTable::new(vec![
        entry("narrow", 1, vec![host("h.test"), prefix("/deep"), RuleNode::All(vec![0, 1])]),
        entry("wide", 100, vec![prefix("/")]),
        entry("b", 1, vec![host("t.test")]),
        entry("a", 1, vec![host("t.test")]),
    ]);
    assert_eq!(find(&table, "h.test", "/deep").as_deref(), Some("wide"));
    let table = RouteTable::new(vec![entry("b", 1, vec![host("t.test")]), entry("a", 1, vec![host("t.test")])]);
    assert_eq!(find(&table, "t.test", "/").as_deref(), Some("a"));
    assert_eq!(find(&table, "t.test.", "/").as_deref(), Some("a"));
    assert_eq!(find(&table, "other", "/"), None);
}

#[test]
fn decoded_views_are_found_under_their_own_text() {
    let table = RouteTable::new(vec![
        entry("decoded", 1, vec![RuleNode::PathPrefix("/p/q".into(), PathView::Decoded)]),
        entry("routing", 2, vec![prefix("/p%2Fq/x")]),
    ]);
    assert_eq!(find(&table, "h", "/p%2Fq").as_deref(), Some("decoded"));
    assert_eq!(find(&table, "h", "/p%2Fq/x").as_deref(), Some("routing"));
}

#[test]
fn more_lists_than_fit_the_stack() {
    let entries = (0..20)
        .map(|depth| entry(&format!("r{depth:02}"), -depth, vec![prefix(&format!("/{}", "a".repeat(depth as usize)))]));
    let mut entries: Vec<_> = entries.collect();
    entries.push(entry("never", 1000, vec![prefix("/"), RuleNode::Not(0)]));
    let table = RouteTable::new(entries);
    assert_eq!(find(&table, "h", &format!("/{}", "a".repeat(30))).as_deref(), Some("r00"));
}

fn leaf() -> impl Strategy<Value = RuleNode> {
    prop_oneof![
        prop::sample::select(vec!["a.t", "b.t", "*.t", "*", "x.a.t"]).prop_map(host),
        prop::sample::select(vec!["a.t", "a.t.", "b.t"]).prop_map(|name| RuleNode::HostExact(name.into())),
        prop::sample::select(vec!["/", "/a", "/a/b", "/ab", "/b%2F"]).prop_map(prefix),
        prop::sample::select(vec!["/", "/a", "/a/b", "/b/"])
            .prop_map(|path| RuleNode::Path(path.into(), PathView::Decoded)),
        Just(RuleNode::Method("GET".into())),
        Just(RuleNode::HostRegexp("^a".into())),
    ]
}

/// A small arena: leaves, then inner nodes over what is there.
fn rule_nodes() -> impl Strategy<Value = Vec<RuleNode>> {
    (prop::collection::vec(leaf(), 1..4), prop::collection::vec((0..3_u8, any::<[u8; 2]>()), 0..4)).prop_map(
        |(mut nodes, inner)| {
            for (kind, picks) in inner {
                let known = u32::try_from(nodes.len()).unwrap();
                let children: Vec<u32> = picks.iter().map(|pick| u32::from(*pick) % known).collect();
                nodes.push(match kind {
                    0 => RuleNode::All(children),
                    1 => RuleNode::Any(children),
                    _ => RuleNode::Not(children[0]),
                });
            }
            nodes
        },
    )
}

proptest! {
    #[test]
    fn finds_what_a_linear_search_finds(
        rules in prop::collection::vec((rule_nodes(), -3..3_i64), 0..24),
        host in prop::sample::select(vec!["a.t", "b.t", "x.a.t", "a.t.", "none", ""]),
        path in prop::sample::select(vec!["/", "/a", "/a/b/c", "/ab", "/b%2F", "/b%2Fa%2Fb"]),
    ) {
        let entries: Vec<_> = rules.into_iter().enumerate().map(|(at, (nodes, priority))| entry(&format!("r{at:02}"), priority, nodes)).collect();
        let table = RouteTable::new(entries);
        let path = NormalPath::parse(path).unwrap();
        let request = view(host, &path);
        let naive = table.iter().find(|(rule, _)| rule.matches(&request)).map(|(_, value)| value.clone());
        prop_assert_eq!(table.find(&request).cloned(), naive);
    }
}
