//! Rules as trees, how they are written in each dialect, and whether they match: said of the tree, not of the text.

use std::fmt::Write;

use proptest::prelude::*;
use regex_lite::Regex;

use super::case::Request;

/// A text with variables, and the same as a regular expression over what it stands for.
pub(super) type Template = (&'static str, &'static str);

/// Hosts without anything special.
pub(super) const HOSTS: &[&str] = &["a.test", "b.test", "shop.a.test", "pay-core", "Pay.Core"];
/// v1's hosts with variables.
const HOST_TEMPLATES: &[Template] = &[
    ("{s:[a-z]+}.a.test", r"^[a-z]+\.a\.test$"),
    ("{any}.test", r"^[^.]+\.test$"),
    ("x{n:[0-9]}.test", r"^x[0-9]\.test$"),
];
pub(super) const PATHS: &[&str] = &["/a", "/a/", "/a/b", "/shop", "/x y", "/item/7", "/item/7/"];
const PATH_TEMPLATES: &[Template] = &[("/item/{id}", "^/item/[^/]+$"), ("/item/{id:[0-9]+}", "^/item/[0-9]+$")];
const REGEXPS: &[&str] = &["^a", "test$", "^/a/.", "[0-9]+", "old|gold", "^$"];
const METHODS: &[&str] = &["GET", "post", "Put"];
const PLANS: &[&str] = &["gold", "old", ""];

/// A v1 rule: all parts hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct V1Rule {
    pub(super) parts: Vec<V1Part>,
    /// Makes the whole rule unusable.
    pub(super) broken: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum V1Part {
    Host(Vec<&'static str>),
    HostRegexp(Template),
    /// Whether it is stripped as well.
    Path(Vec<&'static str>, bool),
    PathTemplate(Template),
    PathPrefix(Vec<&'static str>, bool),
    Method(Vec<&'static str>),
    Headers(&'static str, &'static str),
    Query(&'static str, &'static str),
    AddPrefix(&'static str),
    ReplacePath(&'static str),
}

pub(super) fn v1_rules() -> impl Strategy<Value = V1Rule> {
    let some = |from: &'static [&'static str]| prop::collection::vec(prop::sample::select(from), 1..3);
    let rest = prop_oneof![
        3 => some(HOSTS).prop_map(V1Part::Host),
        1 => prop::sample::select(HOST_TEMPLATES).prop_map(V1Part::HostRegexp),
        1 => some(METHODS).prop_map(V1Part::Method),
        1 => prop::sample::select(PLANS).prop_map(|plan| V1Part::Headers("X-Plan", plan)).prop_filter("empty", |part| *part != V1Part::Headers("X-Plan", "")),
        1 => prop::sample::select(&["1", "2", ""][..]).prop_map(|value| V1Part::Query("k", value)),
        1 => Just(V1Part::AddPrefix("/pre")),
        1 => Just(V1Part::ReplacePath("/replaced")),
    ];
    // Two parts that look at the path have no agreed meaning for the slash redirect.
    let path = prop_oneof![
        (some(PATHS), any::<bool>()).prop_map(|(paths, strip)| V1Part::Path(paths, strip)),
        prop::sample::select(PATH_TEMPLATES).prop_map(V1Part::PathTemplate),
        (some(PATHS), any::<bool>()).prop_map(|(paths, strip)| V1Part::PathPrefix(paths, strip)),
    ];
    let parts = (prop::collection::vec(rest, 0..3), prop::option::of(path));
    let broken = prop::bool::weighted(0.05);
    (parts, broken).prop_map(|((mut parts, path), broken)| {
        parts.extend(path);
        if parts.is_empty() {
            parts.push(V1Part::Host(vec!["a.test"]));
        }
        V1Rule { parts, broken }
    })
}

impl V1Rule {
    pub(super) fn text(&self) -> String {
        let mut parts: Vec<String> = self.parts.iter().map(V1Part::text).collect();
        if self.broken {
            parts.push("host:nobody".to_owned());
        }
        parts.join(";")
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        self.parts.iter().all(|part| part.matches(request))
    }

    /// Whether the rule would match if the final slash of the path were the other way.
    pub(super) fn redirects(&self, request: &Request) -> bool {
        let path = request.decoded_path();
        let other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        let mut whole = false;
        let all = self.parts.iter().all(|part| match part {
            V1Part::Path(paths, _) => {
                whole = true;
                paths.iter().any(|one| *one == other)
            }
            V1Part::PathTemplate((text, regexp)) => {
                whole = true;
                // The rule's own path with its slash toggled has to match, not any path with a slash.
                let toggled = if text.ends_with('/') { regexp.replace("/$", "$") } else { regexp.replace('$', "/$") };
                Regex::new(&toggled).unwrap().is_match(&path)
            }
            other => other.matches(request),
        });
        all && whole
    }

    /// The path steps in v1's order: strip, add, replace.
    pub(super) fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        let mut stripped: Vec<&str> = Vec::new();
        for part in &self.parts {
            if let V1Part::Path(paths, true) | V1Part::PathPrefix(paths, true) = part {
                stripped.extend(paths);
            }
        }
        stripped.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        if !stripped.is_empty() {
            steps.push(format!("strip {}", stripped.join(" ")));
        }
        if self.parts.contains(&V1Part::AddPrefix("/pre")) {
            steps.push("add /pre".to_owned());
        }
        if self.parts.contains(&V1Part::ReplacePath("/replaced")) {
            steps.push("replace /replaced".to_owned());
        }
        steps
    }
}

impl V1Part {
    fn text(&self) -> String {
        match self {
            Self::Host(hosts) => format!("Host:{}", hosts.join(", ")),
            Self::HostRegexp((text, _)) => format!(" HostRegexp :{text}"),
            Self::Path(paths, strip) => format!("{}:{},", if *strip { "PathStrip" } else { "Path" }, paths.join(",")),
            Self::PathTemplate((text, _)) => format!("Path:{text}"),
            Self::PathPrefix(paths, strip) => {
                format!("{}:{}", if *strip { "PathPrefixStrip" } else { "PathPrefix" }, paths.join(","))
            }
            Self::Method(methods) => format!("Method:{}", methods.join(",")),
            Self::Headers(name, value) => format!("Headers:{name},{value}"),
            Self::Query(name, value) => format!("Query:{name}={value}"),
            Self::AddPrefix(prefix) => format!("AddPrefix:{prefix}"),
            Self::ReplacePath(path) => format!("ReplacePath:{path}"),
        }
    }

    fn matches(&self, request: &Request) -> bool {
        let path = request.decoded_path();
        match self {
            Self::Host(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(&request.bare_host())),
            Self::HostRegexp((_, regexp)) => Regex::new(regexp).unwrap().is_match(&request.bare_host()),
            Self::Path(paths, _) => paths.iter().any(|one| *one == path),
            Self::PathTemplate((_, regexp)) => Regex::new(regexp).unwrap().is_match(&path),
            Self::PathPrefix(paths, _) => paths.iter().any(|prefix| path.starts_with(prefix)),
            Self::Method(methods) => methods.iter().any(|method| method.eq_ignore_ascii_case(request.method)),
            Self::Headers(name, value) => request.header(name).any(|found| found == *value),
            Self::Query(name, "") => request.query(name).next().is_some(),
            Self::Query(name, value) => request.query(name).next().is_some_and(|found| found == *value),
            Self::AddPrefix(_) | Self::ReplacePath(_) => true,
        }
    }
}

/// A v3 expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum V3Rule {
    And(Box<V3Rule>, Box<V3Rule>),
    Or(Box<V3Rule>, Box<V3Rule>),
    Not(Box<V3Rule>),
    Leaf(V3Leaf, Spelling),
    Broken,
}

/// How a matcher's name is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Spelling {
    Listed,
    Lower,
    Upper,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum V3Leaf {
    Host(&'static str),
    /// One label before it.
    Wildcard(&'static str),
    HostRegexp(&'static str),
    Path(&'static str),
    PathPrefix(&'static str),
    PathRegexp(&'static str),
    Method(&'static str),
    Header(&'static str),
    HeaderRegexp(&'static str),
    Query(&'static str, Option<&'static str>),
    QueryRegexp(&'static str),
    ClientIp(&'static str, &'static [&'static str]),
}

pub(super) fn v3_rules() -> impl Strategy<Value = V3Rule> {
    let leaf = prop_oneof![
        4 => prop::sample::select(HOSTS).prop_map(V3Leaf::Host),
        1 => prop::sample::select(&["a.test", "test"][..]).prop_map(V3Leaf::Wildcard),
        1 => prop::sample::select(REGEXPS).prop_map(V3Leaf::HostRegexp),
        2 => prop::sample::select(PATHS).prop_map(V3Leaf::Path),
        3 => prop::sample::select(PATHS).prop_map(V3Leaf::PathPrefix),
        1 => prop::sample::select(REGEXPS).prop_map(V3Leaf::PathRegexp),
        1 => prop::sample::select(METHODS).prop_map(V3Leaf::Method),
        1 => prop::sample::select(&["gold", "old"][..]).prop_map(V3Leaf::Header),
        1 => prop::sample::select(REGEXPS).prop_map(V3Leaf::HeaderRegexp),
        1 => prop::option::of(prop::sample::select(&["1", "2"][..])).prop_map(|value| V3Leaf::Query("k", value)),
        1 => prop::sample::select(REGEXPS).prop_map(V3Leaf::QueryRegexp),
        1 => Just(V3Leaf::ClientIp("10.0.0.0/8", &["10.1.2.3"])),
        1 => Just(V3Leaf::ClientIp("127.0.0.1", &["127.0.0.1"])),
    ];
    let spelling = prop::sample::select(vec![Spelling::Listed, Spelling::Lower, Spelling::Upper]);
    let leaf = prop_oneof![30 => (leaf, spelling).prop_map(|(leaf, spelling)| V3Rule::Leaf(leaf, spelling)), 1 => Just(V3Rule::Broken)];
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| V3Rule::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| V3Rule::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| V3Rule::Not(Box::new(a))),
        ]
    })
}

impl V3Rule {
    pub(super) fn text(&self) -> String {
        match self {
            Self::And(a, b) => format!("{} && {}", a.within(true), b.within(true)),
            Self::Or(a, b) => format!("{} || {}", a.within(false), b.within(false)),
            Self::Not(a) => match **a {
                Self::Leaf(..) | Self::Broken => format!("!{}", a.text()),
                _ => format!("!({})", a.text()),
            },
            Self::Leaf(leaf, spelling) => leaf.text(*spelling),
            Self::Broken => "Hots(`a.test`)".to_owned(),
        }
    }

    /// With parentheses where an alternative stands within a conjunction, or a conjunction on the right.
    fn within(&self, and: bool) -> String {
        match self {
            Self::Or(..) if and => format!("({})", self.text()),
            _ => self.text(),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::And(a, b) | Self::Or(a, b) => a.is_broken() || b.is_broken(),
            Self::Not(a) => a.is_broken(),
            Self::Leaf(..) => false,
            Self::Broken => true,
        }
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        match self {
            Self::And(a, b) => a.matches(request) && b.matches(request),
            Self::Or(a, b) => a.matches(request) || b.matches(request),
            Self::Not(a) => !a.matches(request),
            Self::Leaf(leaf, _) => leaf.matches(request),
            Self::Broken => false,
        }
    }
}

impl V3Leaf {
    fn text(&self, spelling: Spelling) -> String {
        let (name, args): (&str, Vec<String>) = match self {
            Self::Host(host) => ("Host", vec![(*host).to_owned()]),
            Self::Wildcard(suffix) => ("Host", vec![format!("*.{suffix}")]),
            Self::HostRegexp(regexp) => ("HostRegexp", vec![(*regexp).to_owned()]),
            Self::Path(path) => ("Path", vec![(*path).to_owned()]),
            Self::PathPrefix(path) => ("PathPrefix", vec![(*path).to_owned()]),
            Self::PathRegexp(regexp) => ("PathRegexp", vec![(*regexp).to_owned()]),
            Self::Method(method) => ("Method", vec![(*method).to_owned()]),
            Self::Header(value) => ("Header", vec!["X-Plan".to_owned(), (*value).to_owned()]),
            Self::HeaderRegexp(regexp) => ("HeaderRegexp", vec!["x-plan".to_owned(), (*regexp).to_owned()]),
            Self::Query(name, value) => ("Query", std::iter::once(*name).chain(*value).map(str::to_owned).collect()),
            Self::QueryRegexp(regexp) => ("QueryRegexp", vec!["k".to_owned(), (*regexp).to_owned()]),
            Self::ClientIp(range, _) => ("ClientIP", vec![(*range).to_owned()]),
        };
        let name = match spelling {
            Spelling::Listed => name.to_owned(),
            Spelling::Lower => name.to_lowercase(),
            Spelling::Upper => name.to_uppercase(),
        };
        let mut text = format!("{name}(");
        for (at, arg) in args.iter().enumerate() {
            let quoted = if at % 2 == 0 { format!("`{arg}`") } else { format!("\"{arg}\"") };
            write!(text, "{}{quoted}", if at == 0 { "" } else { ", " }).unwrap();
        }
        text + ")"
    }

    fn matches(&self, request: &Request) -> bool {
        let (host, path) = (request.bare_host(), request.routing_path());
        let host = host.strip_suffix('.').unwrap_or(&host);
        let is_match = |regexp: &str, text: &str| Regex::new(regexp).unwrap().is_match(text);
        match self {
            Self::Host(wanted) => wanted.eq_ignore_ascii_case(host),
            Self::Wildcard(suffix) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == *suffix)
            }
            Self::HostRegexp(regexp) => is_match(regexp, &request.bare_host()),
            Self::Path(wanted) => path == *wanted,
            Self::PathPrefix(prefix) => path.starts_with(prefix),
            Self::PathRegexp(regexp) => is_match(regexp, &path),
            Self::Method(method) => method.eq_ignore_ascii_case(request.method),
            Self::Header(value) => request.header("X-Plan").any(|found| found == *value),
            Self::HeaderRegexp(regexp) => request.header("X-Plan").any(|found| is_match(regexp, found)),
            Self::Query(name, value) => request.query(name).any(|found| found == value.unwrap_or_default()),
            Self::QueryRegexp(regexp) => request.query("k").any(|found| is_match(regexp, &found)),
            Self::ClientIp(_, inside) => inside.contains(&request.client),
        }
    }
}
