//! The tree every rule language ends in, and its lowering to the arena of `wit/types.wit`.

use sluice_plugin_sdk::router::{HeaderMatch, NodeId, Occurrence, PathMatch, PathView, QueryMatch, Rule, RuleNode};

/// A condition: on requests, with [`Leaf`] matchers, or on whatever else the leaves look at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr<L = Leaf> {
    All(Vec<Expr<L>>),
    Any(Vec<Expr<L>>),
    Not(Box<Expr<L>>),
    Leaf(L),
}

/// One matcher. The meaning of each is that of the rule node it becomes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Leaf {
    Host(String),
    HostExact(String),
    HostRegexp(String),
    Path(String, PathView),
    PathPrefix(String, PathView),
    PathRegexp(String, PathView),
    Method(String),
    Header(String, String),
    HeaderRegexp(String, String),
    Query(String, String, Occurrence),
    QueryRegexp(String, String, Occurrence),
    ClientIp(String),
    Alpn(String),
}

impl<L> Default for Expr<L> {
    /// Matches everything.
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl<L> Expr<L> {
    /// Every part has to match; a single part stands for itself.
    pub(crate) fn all(parts: Vec<Self>) -> Self {
        single(parts).unwrap_or_else(Self::All)
    }

    /// One part has to match; a single part stands for itself.
    pub(crate) fn any(parts: Vec<Self>) -> Self {
        single(parts).unwrap_or_else(Self::Any)
    }

    /// Replaces every leaf by what it means.
    ///
    /// # Errors
    /// The first error of `resolve`.
    pub(crate) fn resolve<M, E>(self, resolve: &mut impl FnMut(L) -> Result<Expr<M>, E>) -> Result<Expr<M>, E> {
        Ok(match self {
            Self::All(parts) => {
                Expr::All(parts.into_iter().map(|part| part.resolve(resolve)).collect::<Result<_, _>>()?)
            }
            Self::Any(parts) => {
                Expr::Any(parts.into_iter().map(|part| part.resolve(resolve)).collect::<Result<_, _>>()?)
            }
            Self::Not(part) => Expr::Not(Box::new(part.resolve(resolve)?)),
            Self::Leaf(leaf) => resolve(leaf)?,
        })
    }

    /// Whether it holds, given which leaves do.
    pub(crate) fn holds(&self, test: &impl Fn(&L) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(test)),
            Self::Not(part) => !part.holds(test),
            Self::Leaf(leaf) => test(leaf),
        }
    }
}

impl Expr {
    /// Matches nothing.
    pub(crate) fn never() -> Self {
        Self::Any(Vec::new())
    }

    /// The rule the host compiles, with the text it was read from.
    pub(crate) fn into_rule(self, text: &str) -> Rule {
        let mut nodes = Vec::new();
        let root = lower(self, &mut nodes);
        Rule { text: text.to_owned(), nodes, root }
    }
}

impl From<Leaf> for Expr {
    fn from(leaf: Leaf) -> Self {
        Self::Leaf(leaf)
    }
}

fn single<L>(mut parts: Vec<Expr<L>>) -> Result<Expr<L>, Vec<Expr<L>>> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            parts.extend(last);
            Err(parts)
        }
    }
}

/// Children first, so that they have smaller indices. The parsers bound the depth.
fn lower(expr: Expr, nodes: &mut Vec<RuleNode>) -> NodeId {
    let node = match expr {
        Expr::All(parts) => RuleNode::All(parts.into_iter().map(|part| lower(part, nodes)).collect()),
        Expr::Any(parts) => RuleNode::Any(parts.into_iter().map(|part| lower(part, nodes)).collect()),
        Expr::Not(part) => RuleNode::Not(lower(*part, nodes)),
        Expr::Leaf(leaf) => leaf.into_node(),
    };
    nodes.push(node);
    // A rule with 2^32 nodes does not fit in a tag; saturating keeps this total, and the host checks the arena.
    NodeId::try_from(nodes.len().saturating_sub(1)).unwrap_or(NodeId::MAX)
}

impl Leaf {
    fn into_node(self) -> RuleNode {
        match self {
            Self::Host(host) => RuleNode::Host(host),
            Self::HostExact(host) => RuleNode::HostExact(host),
            Self::HostRegexp(pattern) => RuleNode::HostRegexp(pattern),
            Self::Path(pattern, view) => RuleNode::Path(PathMatch { pattern, view }),
            Self::PathPrefix(pattern, view) => RuleNode::PathPrefix(PathMatch { pattern, view }),
            Self::PathRegexp(pattern, view) => RuleNode::PathRegexp(PathMatch { pattern, view }),
            Self::Method(method) => RuleNode::Method(method),
            Self::Header(name, value) => RuleNode::Header(HeaderMatch { name, value }),
            Self::HeaderRegexp(name, value) => RuleNode::HeaderRegexp(HeaderMatch { name, value }),
            Self::Query(name, value, occurrence) => RuleNode::Query(QueryMatch { name, value, occurrence }),
            Self::QueryRegexp(name, value, occurrence) => RuleNode::QueryRegexp(QueryMatch { name, value, occurrence }),
            Self::ClientIp(range) => RuleNode::ClientIp(range),
            Self::Alpn(protocol) => RuleNode::Alpn(protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arena::is_sound;

    fn host(name: &str) -> Expr {
        Leaf::Host(name.into()).into()
    }

    #[test]
    fn a_single_part_stands_for_itself() {
        assert_eq!(Expr::all(vec![host("a")]), host("a"));
        assert_eq!(Expr::any(vec![host("a"), host("b")]), Expr::Any(vec![host("a"), host("b")]));
        assert_eq!(Expr::<Leaf>::all(vec![]), Expr::All(vec![]));
    }

    #[test]
    fn lowering_puts_children_before_parents() {
        let rule =
            Expr::Any(vec![host("a"), Expr::Not(Box::new(Expr::All(vec![host("b"), host("c")])))]).into_rule("t");
        assert_eq!(rule.text, "t");
        assert_eq!(rule.root, 5);
        assert!(is_sound(&rule), "{rule:?}");
        assert!(matches!(rule.nodes.last(), Some(RuleNode::Any(children)) if *children == [0, 4]));
    }

    #[test]
    fn an_unsound_arena_is_recognised() {
        let looped = Rule { text: String::new(), nodes: vec![RuleNode::Not(0)], root: 0 };
        assert!(!is_sound(&looped));
        let rootless = Rule { text: String::new(), nodes: vec![RuleNode::Host("a".into())], root: 1 };
        assert!(!is_sound(&rootless));
    }

    fn expressions() -> impl Strategy<Value = Expr> {
        "[a-z]{1,3}".prop_map(|name| Leaf::Host(name).into()).prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::All),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::Any),
                inner.prop_map(|part| Expr::Not(Box::new(part))),
            ]
        })
    }

    fn raise(rule: &Rule, id: NodeId) -> Option<Expr> {
        let each = |ids: &[NodeId]| ids.iter().map(|id| raise(rule, *id)).collect::<Option<Vec<_>>>();
        Some(match rule.nodes.get(usize::try_from(id).ok()?)? {
            RuleNode::All(ids) => Expr::All(each(ids)?),
            RuleNode::Any(ids) => Expr::Any(each(ids)?),
            RuleNode::Not(id) => Expr::Not(Box::new(raise(rule, *id)?)),
            RuleNode::Host(name) => host(name),
            _ => return None,
        })
    }

    proptest! {
        #[test]
        fn lowering_loses_nothing(expr in expressions()) {
            let rule = expr.clone().into_rule("");
            prop_assert!(is_sound(&rule));
            prop_assert_eq!(raise(&rule, rule.root), Some(expr));
        }
    }
}
