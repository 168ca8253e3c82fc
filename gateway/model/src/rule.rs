//! Rules compiled: from an arena of declared nodes to a tree that answers whether a request matches.
//!
//! Compiling checks everything (regular expressions, addresses, the arena itself), so that matching cannot fail.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::contribution::{Occurrence, PathView, RuleNode, RuleSpec};
use crate::path::NormalPath;

/// What a rule looks at. Built once a request; everything in it is normalised.
pub struct RequestView<'a> {
    /// Lower-cased, without its port and without the brackets of an IPv6 address; a trailing dot is kept.
    pub host: &'a str,
    /// The normalised path.
    pub path: &'a NormalPath,
    /// The query without `?`.
    pub query: Option<&'a str>,
    /// As sent.
    pub method: &'a str,
    /// Where header values are looked up.
    pub headers: &'a dyn HeaderValues,
    /// The address the connection came from.
    pub client: IpAddr,
}

/// Access to header values by name, without tying this crate to an HTTP library.
pub trait HeaderValues {
    /// Whether `test` holds for one of the values of the header, whose name is given in lower case.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    pub(crate) root: Matcher,
}

/// Why a rule could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A regular expression is not valid, or too large.
    #[error("`{pattern}` is not a usable regular expression: {reason}")]
    Regexp {
        /// The expression.
        pattern: String,
        /// What the compiler said.
        reason: String,
    },
    /// Neither an address nor a CIDR range.
    #[error("`{0}` is neither an IP address nor a CIDR range such as 10.0.0.0/8")]
    Address(String),
    /// A path pattern that can never match.
    #[error("path `{0}` does not begin with `/`, so it could never match")]
    Path(String),
    /// An empty or non-ASCII host.
    #[error("host `{0}` is empty or not ASCII; write international names in their xn-- form")]
    Host(String),
    /// A TCP route asks for something that only requests have.
    #[error(
        "a connection has no such thing: rules of tcp routes look at the server name, the client's address and alpn"
    )]
    NotOfConnections,
    /// A route asks for something that only connections have.
    #[error("`alpn` can only be asked for in the rules of tcp routes")]
    NotOfRequests,
    /// The arena refers outside itself or to a parent.
    #[error("rule node {0} is missing or not before its parent")]
    Arena(u32),
}

#[derive(Debug)]
pub(crate) enum Matcher {
    All(Vec<Matcher>),
    Any(Vec<Matcher>),
    Not(Box<Matcher>),
    Host(HostPattern),
    HostRegexp(Regex),
    Path(String, PathView),
    PathPrefix(String, PathView),
    PathRegexp(Regex, PathView),
    Method(String),
    Header(String, String),
    HeaderRegexp(String, Regex),
    Query(String, String, Occurrence),
    QueryRegexp(String, Regex, Occurrence),
    ClientIp(IpNet),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// Without a trailing dot; the request's is ignored.
    Name(String),
    /// Compared to the dot.
    Exact(String),
    /// `.x`: exactly one label before it.
    OneLabelBefore(String),
    Every,
}

/// Compiled regular expressions may take this many bytes; a route table of thousands has to fit in memory.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

impl Rule {
    /// Compiles a declared rule.
    ///
    /// # Errors
    /// The first [`RuleError`] found, children first.
    pub fn compile(spec: &RuleSpec) -> Result<Self, RuleError> {
        Ok(Self { root: compile_node(spec, spec.root, u32::MAX)? })
    }

    /// Whether the request matches.
    #[must_use]
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        self.root.matches(request)
    }

    /// The hosts one of which every matching request has; `None` when any host may match.
    #[must_use]
    pub fn hosts(&self) -> Option<Vec<crate::HostKey>> {
        crate::keys::hosts(self)
    }
}

/// Compiles a regular expression the way rules and steps do.
///
/// # Errors
/// [`RuleError::Regexp`] naming the pattern and the reason.
pub fn compile_regex(pattern: &str) -> Result<Regex, RuleError> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|error| RuleError::Regexp { pattern: pattern.to_owned(), reason: last_line(&error.to_string()) })
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn compile_node(spec: &RuleSpec, id: u32, parent: u32) -> Result<Matcher, RuleError> {
    let children = |ids: &[u32]| ids.iter().map(|child| compile_node(spec, *child, id)).collect::<Result<Vec<_>, _>>();
    Ok(match node_at(spec, id, parent)? {
        RuleNode::All(ids) => Matcher::All(children(ids)?),
        RuleNode::Any(ids) => Matcher::Any(children(ids)?),
        RuleNode::Not(child) => Matcher::Not(Box::new(compile_node(spec, *child, id)?)),
        RuleNode::Host(host) => Matcher::Host(host_pattern(host)?),
        RuleNode::HostExact(host) => Matcher::Host(HostPattern::Exact(ascii_lower(host)?)),
        RuleNode::HostRegexp(pattern) => Matcher::HostRegexp(compile_regex(pattern)?),
        RuleNode::Path(path, view) => Matcher::Path(absolute(path)?, *view),
        RuleNode::PathPrefix(path, view) => Matcher::PathPrefix(absolute(path)?, *view),
        RuleNode::PathRegexp(pattern, view) => Matcher::PathRegexp(compile_regex(pattern)?, *view),
        RuleNode::Method(method) => Matcher::Method(method.to_ascii_uppercase()),
        RuleNode::Header(name, value) => Matcher::Header(name.to_ascii_lowercase(), value.clone()),
        RuleNode::HeaderRegexp(name, pattern) => {
            Matcher::HeaderRegexp(name.to_ascii_lowercase(), compile_regex(pattern)?)
        }
        RuleNode::Query(name, value, which) => Matcher::Query(name.clone(), value.clone(), *which),
        RuleNode::QueryRegexp(name, pattern, which) => {
            Matcher::QueryRegexp(name.clone(), compile_regex(pattern)?, *which)
        }
        RuleNode::ClientIp(range) => Matcher::ClientIp(parse_range(range)?),
        RuleNode::Alpn(_) => return Err(RuleError::NotOfRequests),
    })
}

/// The node of that id, which has to come before its parent.
pub(crate) fn node_at(spec: &RuleSpec, id: u32, parent: u32) -> Result<&RuleNode, RuleError> {
    let node = usize::try_from(id).ok().and_then(|at| spec.nodes.get(at));
    node.filter(|_| id < parent).ok_or(RuleError::Arena(id))
}

fn absolute(path: &str) -> Result<String, RuleError> {
    if path.starts_with('/') { Ok(path.to_owned()) } else { Err(RuleError::Path(path.to_owned())) }
}

fn ascii_lower(host: &str) -> Result<String, RuleError> {
    if host.is_empty() || !host.is_ascii() {
        return Err(RuleError::Host(host.to_owned()));
    }
    Ok(host.to_ascii_lowercase())
}

pub(crate) fn host_pattern(host: &str) -> Result<HostPattern, RuleError> {
    let lower = ascii_lower(host)?;
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    Ok(match name.strip_prefix('*') {
        Some("") => HostPattern::Every,
        Some(suffix) if suffix.starts_with('.') => HostPattern::OneLabelBefore(suffix.to_owned()),
        _ => HostPattern::Name(name.to_owned()),
    })
}

pub(crate) fn parse_range(text: &str) -> Result<IpNet, RuleError> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| RuleError::Address(text.to_owned()))
}

impl Matcher {
    pub(crate) fn matches(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::All(children) => children.iter().all(|child| child.matches(request)),
            Self::Any(children) => children.iter().any(|child| child.matches(request)),
            Self::Not(child) => !child.matches(request),
            Self::Host(pattern) => pattern.matches(request.host),
            Self::HostRegexp(regex) => regex.is_match(request.host),
            Self::Path(path, view) => request.path.view(*view) == path,
            Self::PathPrefix(prefix, view) => request.path.view(*view).starts_with(prefix.as_str()),
            Self::PathRegexp(regex, view) => regex.is_match(request.path.view(*view)),
            Self::Method(method) => request.method.eq_ignore_ascii_case(method),
            Self::Header(name, value) => request.headers.any(name, &mut |found| found == value.as_bytes()),
            Self::HeaderRegexp(name, regex) => request
                .headers
                .any(name, &mut |found| std::str::from_utf8(found).is_ok_and(|text| regex.is_match(text))),
            Self::Query(name, value, which) => query_any(request.query, name, *which, |found| found == value),
            Self::QueryRegexp(name, regex, which) => {
                query_any(request.query, name, *which, |found| regex.is_match(found))
            }
            Self::ClientIp(range) => range.contains(&request.client.to_canonical()),
        }
    }
}

impl HostPattern {
    pub(crate) fn matches(&self, host: &str) -> bool {
        let without_dot = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Name(name) => without_dot == name,
            Self::Exact(name) => host == name,
            Self::OneLabelBefore(suffix) => {
                without_dot.strip_suffix(suffix.as_str()).is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            Self::Every => true,
        }
    }
}

/// Walks `name=value` pairs separated by `&` or `;`, decoded as forms are.
pub(crate) fn query_any(query: Option<&str>, name: &str, which: Occurrence, test: impl Fn(&str) -> bool) -> bool {
    for pair in query.unwrap_or_default().split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        if form_decode(found) != name {
            continue;
        }
        if test(&form_decode(value)) {
            return true;
        }
        if which == Occurrence::First {
            return false;
        }
    }
    false
}

/// The first value of a parameter, decoded as forms are.
#[must_use]
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    let pairs = query.split(['&', ';']).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(found, _)| form_decode(found) == name).map(|(_, value)| form_decode(value)).next()
}

fn form_decode(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match tail
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            {
                Some(decoded) => {
                    bytes.push(decoded);
                    rest = tail.get(2..).unwrap_or_default();
                }
                None => bytes.push(byte),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
