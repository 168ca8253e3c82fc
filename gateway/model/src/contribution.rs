//! What a router plugin makes of one service: routes, services, steps, and what it could not use.
//!
//! These mirror the records of `wit/types.wit`, which documents their meaning for plugin authors. Names are local to a
//! provider here; [`link`](crate::link) qualifies them. Services are in [`service`](crate::service).

use crate::service::ServiceSpec;

use crate::tcp::{TcpRouteSpec, TcpServiceSpec, TcpStepSpec};

use crate::action::Action;

/// The whole answer of a router plugin for one catalog service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    /// Routes, each unique by name.
    pub routes: Vec<RouteSpec>,
    /// Services that routes refer to.
    pub services: Vec<ServiceSpec>,
    /// Steps that routes refer to.
    pub steps: Vec<StepSpec>,
    /// TCP routes, each unique by name.
    pub tcp_routes: Vec<TcpRouteSpec>,
    /// Services that TCP routes refer to.
    pub tcp_services: Vec<TcpServiceSpec>,
    /// Steps that TCP routes refer to.
    pub tcp_steps: Vec<TcpStepSpec>,
    /// What was refused or repaired.
    pub diagnostics: Vec<Diagnostic>,
}

/// A route as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Unique within the provider.
    pub name: String,
    /// When the route answers.
    pub rule: RuleSpec,
    /// Higher is tried first.
    pub priority: i64,
    /// Empty means all default entrypoints.
    pub entrypoints: Vec<String>,
    /// Plain connections, TLS ones, or both.
    pub transport: Transport,
    /// TLS options of its hosts; empty means the entrypoint's own.
    pub tls_options: String,
    /// Step names, in the order a request meets them.
    pub steps: Vec<String>,
    /// The service that answers.
    pub service: String,
    /// What is noted of its requests.
    pub observability: Observability,
}

/// What is noted of a route's requests. Where it says nothing the entrypoint decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observability {
    /// A line in the access log.
    pub access_log: Option<bool>,
    /// Counts in the metrics.
    pub metrics: Option<bool>,
}

/// A rule as declared: an arena of nodes, children before their parents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// The text the rule was read from.
    pub text: String,
    /// Children have smaller indices than their parents.
    pub nodes: Vec<RuleNode>,
    /// Index of the root in `nodes`.
    pub root: u32,
}

/// One node of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleNode {
    /// Every child matches.
    All(Vec<u32>),
    /// One child matches.
    Any(Vec<u32>),
    /// The child does not match.
    Not(u32),
    /// Host, trailing dot ignored, `*.x` and `*` understood.
    Host(String),
    /// Host, to the dot and without wildcards.
    HostExact(String),
    /// Regular expression over the lower-cased host.
    HostRegexp(String),
    /// The whole path.
    Path(String, PathView),
    /// A textual prefix of the path.
    PathPrefix(String, PathView),
    /// Regular expression over the path.
    PathRegexp(String, PathView),
    /// The method, in any letter case.
    Method(String),
    /// Header name and value.
    Header(String, String),
    /// Header name and regular expression.
    HeaderRegexp(String, String),
    /// Query parameter and value.
    Query(String, String, Occurrence),
    /// Query parameter and regular expression.
    QueryRegexp(String, String, Occurrence),
    /// Address or CIDR range of the client.
    ClientIp(String),
    /// A protocol offered in the TLS handshake; only in rules of TCP routes.
    Alpn(String),
}

/// Which form of the normalised path a matcher looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathView {
    /// Decoded except for reserved characters.
    #[default]
    Routing,
    /// Decoded as a whole.
    Decoded,
}

/// Which values of a repeated query parameter count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Occurrence {
    /// One of them.
    #[default]
    Any,
    /// The first one.
    First,
}

/// Which connections a route answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// All.
    #[default]
    Any,
    /// Plain ones, and all of an entrypoint that is TLS as a whole.
    Plain,
    /// TLS ones.
    Tls,
}

/// How to speak to an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP/1.1 without TLS.
    #[default]
    Http,
    /// TLS.
    Https,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// A named step of a chain, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// Unique within the provider.
    pub name: String,
    /// What it does.
    pub action: Action,
}

/// A problem with one object; everything else goes on working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the object was left out.
    pub severity: Severity,
    /// What it concerns, such as `route go`.
    pub object: String,
    /// The tag at fault, empty where there is none.
    pub tag: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Repaired, or spelled in a deprecated way.
    Warning,
    /// The object was left out.
    Error,
}

impl Scheme {
    /// As it is written in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl Scheme {
    /// `scheme://address:port`, IPv6 addresses in brackets.
    #[must_use]
    pub fn url(self, address: &str, port: u16) -> String {
        let scheme = self.as_str();
        if address.contains(':') {
            format!("{scheme}://[{address}]:{port}")
        } else {
            format!("{scheme}://{address}:{port}")
        }
    }
}
