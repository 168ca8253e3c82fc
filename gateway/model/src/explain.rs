//! Why a rule does not match a request: for people, never on the request path.

use std::fmt;

use crate::contribution::{Occurrence, PathView};
use crate::rule::{HostPattern, Matcher, RequestView, Rule, query_any};

/// A part of a rule that keeps it from matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The part, written as in Traefik's v3 language whatever the rule was written in.
    pub part: String,
    /// What the request has in its place.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fails: {}", self.part, self.found)
    }
}

impl Rule {
    /// The parts that keep the rule from matching, in the order of the rule; empty where it matches.
    #[must_use]
    pub fn mismatches(&self, request: &RequestView<'_>) -> Vec<Mismatch> {
        let mut found = Vec::new();
        collect(&self.root, request, &mut found);
        found
    }
}

fn collect(matcher: &Matcher, request: &RequestView<'_>, out: &mut Vec<Mismatch>) {
    if matcher.matches(request) {
        return;
    }
    match matcher {
        Matcher::All(children) | Matcher::Any(children) if !children.is_empty() => {
            children.iter().for_each(|child| collect(child, request, out));
        }
        Matcher::Not(child) => out.push(Mismatch { part: matcher.to_string(), found: format!("{child} matches") }),
        leaf => out.push(Mismatch { part: leaf.to_string(), found: found(leaf, request) }),
    }
}

/// What a request has where a leaf looks.
fn found(leaf: &Matcher, request: &RequestView<'_>) -> String {
    match leaf {
        Matcher::Host(_) | Matcher::HostRegexp(_) => format!("the host is `{}`", request.host),
        Matcher::Path(_, view) | Matcher::PathPrefix(_, view) | Matcher::PathRegexp(_, view) => {
            format!("the path is `{}`", request.path.view(*view))
        }
        Matcher::Method(_) => format!("the method is `{}`", request.method),
        Matcher::Header(name, _) | Matcher::HeaderRegexp(name, _) => {
            let mut values = Vec::new();
            request.headers.any(name, &mut |value| {
                values.push(String::from_utf8_lossy(value).into_owned());
                false
            });
            values_of("header", name, &values)
        }
        Matcher::Query(name, _, which) | Matcher::QueryRegexp(name, _, which) => {
            let values = std::cell::RefCell::new(Vec::new());
            query_any(request.query, name, *which, |value| {
                values.borrow_mut().push(value.to_owned());
                false
            });
            values_of("query parameter", name, &values.into_inner())
        }
        Matcher::ClientIp(_) => format!("the client is {}", request.client.to_canonical()),
        Matcher::All(_) | Matcher::Any(_) | Matcher::Not(_) => "there is nothing to match".to_owned(),
    }
}

fn values_of(kind: &str, name: &str, values: &[String]) -> String {
    if values.is_empty() {
        return format!("there is no {kind} `{name}`");
    }
    let shown: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
    format!("{kind} `{name}` is {}", shown.join(", "))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(children) => joined(f, children, " && "),
            Self::Any(children) => joined(f, children, " || "),
            Self::Not(child) => write!(f, "!{child}"),
            Self::Host(HostPattern::Name(name) | HostPattern::Exact(name)) => write!(f, "Host(`{name}`)"),
            Self::Host(HostPattern::OneLabelBefore(suffix)) => write!(f, "Host(`*{suffix}`)"),
            Self::Host(HostPattern::Every) => f.write_str("Host(`*`)"),
            Self::HostRegexp(regex) => write!(f, "HostRegexp(`{regex}`)"),
            Self::Path(path, view) => write!(f, "Path(`{path}`){}", looked_at(*view)),
            Self::PathPrefix(path, view) => write!(f, "PathPrefix(`{path}`){}", looked_at(*view)),
            Self::PathRegexp(regex, view) => write!(f, "PathRegexp(`{regex}`){}", looked_at(*view)),
            Self::Method(method) => write!(f, "Method(`{method}`)"),
            Self::Header(name, value) => write!(f, "Header(`{name}`, `{value}`)"),
            Self::HeaderRegexp(name, regex) => write!(f, "HeaderRegexp(`{name}`, `{regex}`)"),
            // v3's language has no empty arguments.
            Self::Query(name, value, which) if value.is_empty() => write!(f, "Query(`{name}`){}", counted(*which)),
            Self::Query(name, value, which) => write!(f, "Query(`{name}`, `{value}`){}", counted(*which)),
            Self::QueryRegexp(name, regex, which) => write!(f, "QueryRegexp(`{name}`, `{regex}`){}", counted(*which)),
            Self::ClientIp(range) => write!(f, "ClientIP(`{range}`)"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, children: &[Matcher], sign: &str) -> fmt::Result {
    f.write_str("(")?;
    for (at, child) in children.iter().enumerate() {
        write!(f, "{}{child}", if at == 0 { "" } else { sign })?;
    }
    f.write_str(")")
}

fn looked_at(view: PathView) -> &'static str {
    match view {
        PathView::Routing => "",
        PathView::Decoded => " on the decoded path",
    }
}

fn counted(which: Occurrence) -> &'static str {
    match which {
        Occurrence::Any => "",
        Occurrence::First => " on the first value",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::contribution::{RuleNode as N, RuleSpec};
    use crate::path::NormalPath;
    use crate::rule::HeaderValues;

    struct Headers;

    impl HeaderValues for Headers {
        fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == "x-plan" && (test(b"gold") || test(b"old"))
        }
    }

    fn explained(nodes: Vec<N>) -> Vec<String> {
        let root = u32::try_from(nodes.len() - 1).unwrap();
        let rule = Rule::compile(&RuleSpec { text: String::new(), nodes, root }).unwrap();
        let path = NormalPath::parse("/cart/7").unwrap();
        let request = RequestView {
            host: "shop.test",
            path: &path,
            query: Some("a=1&a=2"),
            method: "GET",
            headers: &Headers,
            client: "10.0.0.1".parse().unwrap(),
        };
        assert_eq!(rule.matches(&request), rule.mismatches(&request).is_empty());
        rule.mismatches(&request).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_that_matches_has_no_mismatches() {
        assert!(explained(vec![N::Host("shop.test".into()), N::Any(vec![0]), N::All(vec![0, 1])]).is_empty());
        assert!(explained(vec![N::All(vec![])]).is_empty());
    }

    #[test]
    fn every_leaf_says_what_it_wanted_and_what_there_is() {
        use crate::contribution::{Occurrence as O, PathView as P};
        for (node, said) in [
            (N::Host("a.test".into()), "Host(`a.test`) fails: the host is `shop.test`"),
            (N::Host("*.a".into()), "Host(`*.a`) fails: the host is `shop.test`"),
            (N::HostRegexp("^a".into()), "HostRegexp(`^a`) fails: the host is `shop.test`"),
            (N::PathPrefix("/b".into(), P::Routing), "PathPrefix(`/b`) fails: the path is `/cart/7`"),
            (N::Path("/b".into(), P::Decoded), "Path(`/b`) on the decoded path fails: the path is `/cart/7`"),
            (N::Method("post".into()), "Method(`POST`) fails: the method is `GET`"),
            (N::Header("X-A".into(), "1".into()), "Header(`x-a`, `1`) fails: there is no header `x-a`"),
            (
                N::HeaderRegexp("x-plan".into(), "^s".into()),
                "HeaderRegexp(`x-plan`, `^s`) fails: header `x-plan` is `gold`, `old`",
            ),
            (
                N::Query("a".into(), "2".into(), O::First),
                "Query(`a`, `2`) on the first value fails: query parameter `a` is `1`",
            ),
            (N::ClientIp("192.168.0.0/16".into()), "ClientIP(`192.168.0.0/16`) fails: the client is 10.0.0.1"),
            (N::Any(vec![]), "() fails: there is nothing to match"),
        ] {
            assert_eq!(explained(vec![node]), [said]);
        }
    }

    #[test]
    fn only_the_parts_that_fail_are_named() {
        let nodes = vec![
            N::Host("shop.test".into()),
            N::Method("PUT".into()),
            N::Method("POST".into()),
            N::Any(vec![1, 2]),
            N::Not(0),
            N::All(vec![0, 3, 4]),
        ];
        let said = [
            "Method(`PUT`) fails: the method is `GET`",
            "Method(`POST`) fails: the method is `GET`",
            "!Host(`shop.test`) fails: Host(`shop.test`) matches",
        ];
        assert_eq!(explained(nodes), said);
    }
}
