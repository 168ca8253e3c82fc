//! Rules as the gateway reads them: for tests and fuzzing.

use sluice_model::{Occurrence as O, PathView as P, RuleNode as N, RuleSpec};
use sluice_plugin_sdk::router::{NodeId, Occurrence, PathView, Rule, RuleNode};

/// Whether the arena keeps its promise: every child is before its parent, and the root is there.
pub(crate) fn is_sound(rule: &Rule) -> bool {
    let before = |parent: usize, child: &NodeId| usize::try_from(*child).is_ok_and(|child| child < parent);
    let children_first = rule.nodes.iter().enumerate().all(|(at, node)| match node {
        RuleNode::All(children) | RuleNode::Any(children) => children.iter().all(|child| before(at, child)),
        RuleNode::Not(child) => before(at, child),
        _ => true,
    });
    children_first && before(rule.nodes.len(), &rule.root)
}

/// A rule as the gateway takes it.
pub(crate) fn spec(rule: &Rule) -> RuleSpec {
    RuleSpec { text: rule.text.clone(), nodes: rule.nodes.iter().cloned().map(node).collect(), root: rule.root }
}

fn node(node: RuleNode) -> N {
    let view = |view| if view == PathView::Decoded { P::Decoded } else { P::Routing };
    let which = |which| if which == Occurrence::First { O::First } else { O::Any };
    match node {
        RuleNode::All(ids) => N::All(ids),
        RuleNode::Any(ids) => N::Any(ids),
        RuleNode::Not(id) => N::Not(id),
        RuleNode::Host(host) => N::Host(host),
        RuleNode::HostExact(host) => N::HostExact(host),
        RuleNode::HostRegexp(pattern) => N::HostRegexp(pattern),
        RuleNode::Path(path) => N::Path(path.pattern, view(path.view)),
        RuleNode::PathPrefix(path) => N::PathPrefix(path.pattern, view(path.view)),
        RuleNode::PathRegexp(path) => N::PathRegexp(path.pattern, view(path.view)),
        RuleNode::Method(method) => N::Method(method),
        RuleNode::Header(header) => N::Header(header.name, header.value),
        RuleNode::HeaderRegexp(header) => N::HeaderRegexp(header.name, header.value),
        RuleNode::Query(query) => N::Query(query.name, query.value, which(query.occurrence)),
        RuleNode::QueryRegexp(query) => N::QueryRegexp(query.name, query.value, which(query.occurrence)),
        RuleNode::ClientIp(range) => N::ClientIp(range),
        RuleNode::Alpn(protocol) => N::Alpn(protocol),
    }
}
