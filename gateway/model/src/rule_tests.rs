//! What each matcher accepts and refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

struct Headers(Vec<(&'static str, &'static str)>);

impl HeaderValues for Headers {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().any(|(found, value)| *found == name && test(value.as_bytes()))
    }
}

fn rule(node: RuleNode) -> Result<Rule, RuleError> {
    Rule::compile(&RuleSpec { text: String::new(), nodes: vec![node], root: 0 })
}

fn ask(node: RuleNode, host: &str, target: &str) -> bool {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = NormalPath::parse(path).unwrap();
    rule(node).unwrap().matches(&RequestView {
        host,
        path: &path,
        query,
        method: "put",
        headers: &Headers(vec![("x-plan", "gold"), ("x-plan", "old-iron-1")]),
        client: "10.1.2.3".parse().unwrap(),
    })
}

#[test]
fn hosts() {
    let host = |pattern: &str, asked: &str| ask(RuleNode::Host(pattern.into()), asked, "/");
    assert!(host("Cart.Test.", "cart.test") && host("cart.test", "cart.test."));
    assert!(host("*.cart.test", "eu.cart.test"));
    assert!(
        !host("*.cart.test", "a.eu.cart.test")
            && !host("*.cart.test", "cart.test")
            && !host("*.cart.test", ".cart.test")
    );
    assert!(host("*", "anything"));
    let exact = |pattern: &str, asked: &str| ask(RuleNode::HostExact(pattern.into()), asked, "/");
    assert!(exact("Cart.test", "cart.test") && exact("one.test.", "one.test."));
    assert!(!exact("cart.test", "cart.test.") && !exact("one.test.", "one.test") && !exact("*.x", "a.x"));
    assert!(ask(RuleNode::HostRegexp("cart".into()), "mycart.evil", "/"));
}

#[test]
fn paths_look_at_their_view() {
    let routing =
        |pattern: &str, target: &str| ask(RuleNode::PathPrefix(pattern.into(), PathView::Routing), "h", target);
    assert!(routing("/p q", "/p%20q/r") && routing("/p%2Fq", "/p%2Fq/r") && routing("/shop", "/shopping"));
    assert!(!routing("/p/q", "/p%2Fq"));
    assert!(ask(RuleNode::PathPrefix("/p/q".into(), PathView::Decoded), "h", "/p%2Fq"));
    assert!(ask(RuleNode::Path("/b".into(), PathView::Routing), "h", "/b?x=1"));
    assert!(!ask(RuleNode::Path("/b".into(), PathView::Routing), "h", "/b/"));
    assert!(ask(RuleNode::PathRegexp("^/r[0-9]+".into(), PathView::Routing), "h", "/r7beta"));
}

#[test]
fn queries_count_occurrences() {
    let query = |name: &str, value: &str, which, target: &str| {
        ask(RuleNode::Query(name.into(), value.into(), which), "h", target)
    };
    assert!(query("k", "2", Occurrence::Any, "/?k=1&k=2"));
    assert!(!query("k", "2", Occurrence::First, "/?k=1&k=2"));
    assert!(query("dbg", "", Occurrence::Any, "/?dbg") && !query("dbg", "", Occurrence::Any, "/?dbg=1"));
    assert!(query("a b", "c d", Occurrence::Any, "/?a%20b=c+d"));
    assert!(!query("k", "", Occurrence::Any, "/"));
    assert!(ask(RuleNode::QueryRegexp("k".into(), "^[0-9]+$".into(), Occurrence::Any), "h", "/?k=42"));
}

#[test]
fn headers_methods_addresses() {
    assert!(ask(RuleNode::Header("X-Plan".into(), "gold".into()), "h", "/"));
    assert!(!ask(RuleNode::Header("X-Plan".into(), "Gold".into()), "h", "/"));
    assert!(ask(RuleNode::HeaderRegexp("X-Plan".into(), "iron".into()), "h", "/"));
    assert!(ask(RuleNode::Method("PUT".into()), "h", "/"));
    assert!(
        ask(RuleNode::ClientIp("10.1.0.0/16".into()), "h", "/")
            && !ask(RuleNode::ClientIp("10.1.2.4".into()), "h", "/")
    );
}

#[test]
fn trees() {
    let spec = |nodes: Vec<RuleNode>| {
        let root = u32::try_from(nodes.len()).unwrap() - 1;
        Rule::compile(&RuleSpec { text: String::new(), nodes, root })
    };
    let path = NormalPath::parse("/z").unwrap();
    let request = RequestView {
        host: "two.test",
        path: &path,
        query: None,
        method: "GET",
        headers: &Headers(vec![]),
        client: "::1".parse().unwrap(),
    };
    let leaves = || vec![RuleNode::Host("one.test".into()), RuleNode::Path("/z".into(), PathView::Routing)];
    let mut not_any = leaves();
    not_any.extend([RuleNode::Any(vec![0, 1]), RuleNode::Not(2)]);
    assert!(!spec(not_any).unwrap().matches(&request));
    let mut all = leaves();
    all.push(RuleNode::All(vec![0, 1]));
    assert!(!spec(all).unwrap().matches(&request));
    assert!(spec(vec![RuleNode::All(vec![])]).unwrap().matches(&request));
}

#[test]
fn what_cannot_be_compiled_is_named() {
    assert!(matches!(rule(RuleNode::HostRegexp("[".into())), Err(RuleError::Regexp { pattern, .. }) if pattern == "["));
    assert_eq!(rule(RuleNode::ClientIp("10.0.0".into())).unwrap_err(), RuleError::Address("10.0.0".into()));
    assert_eq!(rule(RuleNode::Path("x".into(), PathView::Routing)).unwrap_err(), RuleError::Path("x".into()));
    assert_eq!(rule(RuleNode::Host("bücher".into())).unwrap_err(), RuleError::Host("bücher".into()));
    assert_eq!(rule(RuleNode::Not(0)).unwrap_err(), RuleError::Arena(0));
    assert_eq!(rule(RuleNode::All(vec![7])).unwrap_err(), RuleError::Arena(7));
}
