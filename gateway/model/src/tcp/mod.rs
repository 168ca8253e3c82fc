//! Whole connections: TCP routes as declared, their rules compiled, and the table that finds the one that answers.
//!
//! The declarations mirror the records of `wit/types.wit`. A rule looks at what is known before the first byte is
//! passed on: the client's address and, of a TLS connection, the handshake's first message.

mod rule;
mod table;

pub use rule::{ConnectionView, TcpRule};
pub use table::{TcpEntry, TcpTable};

use crate::contribution::RuleSpec;
use crate::service::HealthCheck;

/// A TCP route as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRouteSpec {
    /// Unique among the provider's TCP routes.
    pub name: String,
    /// When the route answers.
    pub rule: RuleSpec,
    /// Higher is tried first.
    pub priority: i64,
    /// Empty means all default entrypoints.
    pub entrypoints: Vec<String>,
    /// Whose end of TLS it is.
    pub tls: TcpTls,
    /// TLS options it is terminated with; empty means the entrypoint's own.
    pub tls_options: String,
    /// Names of TCP steps, in order.
    pub steps: Vec<String>,
    /// The TCP service that answers.
    pub service: String,
}

/// Whose end of TLS a TCP route is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TcpTls {
    /// Connections are plain.
    #[default]
    None,
    /// The gateway's.
    Terminate,
    /// The target's.
    Passthrough,
}

/// A TCP service as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpServiceSpec {
    /// Unique among the provider's TCP services.
    pub name: String,
    /// Where connections go.
    pub targets: Vec<TcpTarget>,
    /// How targets are told who the client is.
    pub proxy_protocol: ProxyProtocol,
    /// How they are asked whether they take connections.
    pub health_check: Option<HealthCheck>,
    /// The name of a `[transports.NAME]` of the configuration.
    pub transport: Option<String>,
}

/// An instance as a TCP service uses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpTarget {
    /// The id of the instance in the catalog.
    pub instance: String,
    /// IP address or host name.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Speak TLS to it.
    pub tls: bool,
    /// Its share relative to the others; 0 is never chosen.
    pub weight: u32,
}

/// What tells a target who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// Nothing.
    #[default]
    None,
    /// A line of text before the client's bytes.
    V1,
    /// A binary head before the client's bytes.
    V2,
}

/// A named step of a TCP route, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpStepSpec {
    /// Unique among the provider's TCP steps.
    pub name: String,
    /// What it does.
    pub action: TcpAction,
}

/// What a TCP step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpAction {
    /// At most so many connections at once of one client address.
    InFlight(u64),
    /// Only clients in these ranges.
    AllowList(Vec<String>),
}

impl TcpTarget {
    /// `address:port`, IPv6 addresses in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}
