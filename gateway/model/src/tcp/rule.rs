//! Rules of TCP routes compiled. Checking is done here, so that matching cannot fail.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use crate::contribution::{RuleNode, RuleSpec};
use crate::keys::{self, HostKey};
use crate::rule::{HostPattern, RuleError, compile_regex, host_pattern, node_at, parse_range};

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView<'a> {
    /// The name in the TLS handshake, in lower case; empty where there is none or no TLS.
    pub server_name: &'a str,
    /// The protocols the client offers, in its order.
    pub alpn: &'a [&'a [u8]],
    /// The address the connection came from.
    pub client: IpAddr,
}

/// A compiled rule.
#[derive(Debug)]
pub struct TcpRule {
    root: Matcher,
}

#[derive(Debug)]
enum Matcher {
    All(Vec<Matcher>),
    Any(Vec<Matcher>),
    Not(Box<Matcher>),
    Name(HostPattern),
    NameRegexp(Regex),
    ClientIp(IpNet),
    Alpn(Vec<u8>),
}

impl TcpRule {
    /// Compiles a declared rule.
    ///
    /// # Errors
    /// The first [`RuleError`] found, children first; [`RuleError::NotOfConnections`] for nodes that look at requests.
    pub fn compile(spec: &RuleSpec) -> Result<Self, RuleError> {
        Ok(Self { root: compile_node(spec, spec.root, u32::MAX)? })
    }

    /// Whether the connection matches.
    #[must_use]
    pub fn matches(&self, connection: &ConnectionView<'_>) -> bool {
        self.root.matches(connection)
    }

    /// Whether it is nothing but `*`: such routes are the last resort of an entrypoint.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        matches!(self.root, Matcher::Name(HostPattern::Every))
    }

    /// The names one of which every matching connection has; `None` when any name may match.
    pub(crate) fn names(&self) -> Option<Vec<HostKey>> {
        names(&self.root)
    }
}

fn names(matcher: &Matcher) -> Option<Vec<HostKey>> {
    match matcher {
        Matcher::All(children) => keys::of_all(children.iter().map(names)),
        Matcher::Any(children) => keys::of_any(children.iter().map(names)),
        Matcher::Name(pattern) => keys::host(pattern).map(|key| vec![key]),
        _ => None,
    }
}

fn compile_node(spec: &RuleSpec, id: u32, parent: u32) -> Result<Matcher, RuleError> {
    let children = |ids: &[u32]| ids.iter().map(|child| compile_node(spec, *child, id)).collect::<Result<Vec<_>, _>>();
    Ok(match node_at(spec, id, parent)? {
        RuleNode::All(ids) => Matcher::All(children(ids)?),
        RuleNode::Any(ids) => Matcher::Any(children(ids)?),
        RuleNode::Not(child) => Matcher::Not(Box::new(compile_node(spec, *child, id)?)),
        RuleNode::Host(name) => Matcher::Name(host_pattern(name)?),
        RuleNode::HostRegexp(pattern) => Matcher::NameRegexp(compile_regex(pattern)?),
        RuleNode::ClientIp(range) => Matcher::ClientIp(parse_range(range)?),
        RuleNode::Alpn(protocol) => Matcher::Alpn(protocol.clone().into_bytes()),
        _ => return Err(RuleError::NotOfConnections),
    })
}

impl Matcher {
    fn matches(&self, connection: &ConnectionView<'_>) -> bool {
        match self {
            Self::All(children) => children.iter().all(|child| child.matches(connection)),
            Self::Any(children) => children.iter().any(|child| child.matches(connection)),
            Self::Not(child) => !child.matches(connection),
            Self::Name(pattern) => pattern.matches(connection.server_name),
            Self::NameRegexp(regex) => regex.is_match(connection.server_name),
            Self::ClientIp(range) => range.contains(&connection.client.to_canonical()),
            Self::Alpn(protocol) => connection.alpn.iter().any(|offered| offered == protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rule(nodes: Vec<RuleNode>) -> Result<TcpRule, RuleError> {
        let root = u32::try_from(nodes.len() - 1).unwrap();
        TcpRule::compile(&RuleSpec { text: String::new(), nodes, root })
    }

    fn view<'a>(server_name: &'a str, alpn: &'a [&'a [u8]]) -> ConnectionView<'a> {
        ConnectionView { server_name, alpn, client: [10, 0, 0, 1].into() }
    }

    #[test]
    fn matchers_look_at_the_handshake_and_the_address() {
        let matches = |node, name: &str, alpn: &[&[u8]]| rule(vec![node]).unwrap().matches(&view(name, alpn));
        assert!(matches(RuleNode::Host("DB.test.".into()), "db.test", &[]));
        assert!(!matches(RuleNode::Host("db.test".into()), "", &[]));
        assert!(matches(RuleNode::Host("*".into()), "", &[]));
        assert!(matches(RuleNode::Host("*.test".into()), "db.test", &[]));
        assert!(matches(RuleNode::HostRegexp("^db[0-9]$".into()), "db7", &[]));
        assert!(matches(RuleNode::ClientIp("10.0.0.0/8".into()), "", &[]));
        assert!(matches(RuleNode::Alpn("postgresql".into()), "", &[b"h2", b"postgresql"]));
        assert!(!matches(RuleNode::Alpn("post".into()), "", &[b"postgresql"]));
    }

    #[test]
    fn nodes_are_joined_and_what_requests_have_is_refused() {
        let both = vec![
            RuleNode::Host("a.test".into()),
            RuleNode::ClientIp("10.0.0.9".into()),
            RuleNode::Not(1),
            RuleNode::All(vec![0, 2]),
        ];
        let both = rule(both).unwrap();
        assert!(both.matches(&view("a.test", &[])) && !both.matches(&view("b.test", &[])));
        assert!(!both.is_catch_all() && rule(vec![RuleNode::Host("*".into())]).unwrap().is_catch_all());
        assert_eq!(rule(vec![RuleNode::Method("GET".into())]).unwrap_err(), RuleError::NotOfConnections);
        assert_eq!(rule(vec![RuleNode::Not(0)]).unwrap_err(), RuleError::Arena(0));
        let alpn = RuleSpec { text: String::new(), nodes: vec![RuleNode::Alpn("h2".into())], root: 0 };
        assert_eq!(crate::rule::Rule::compile(&alpn).unwrap_err(), RuleError::NotOfRequests);
    }
}
