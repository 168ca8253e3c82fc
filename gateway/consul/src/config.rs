//! How to reach an agent and how to treat what it says: plain types without serde, checked as a whole.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::ConsulError;

/// The longest [`ConsulConfig::wait`]: a query that waits for an index the registry no longer reaches (it was wiped or
/// restored) stays blind for this long.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Everything a [`Watcher`](crate::Watcher) needs to know. [`ConsulConfig::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct ConsulConfig {
    /// `host:port` of the agent's HTTP API.
    pub address: String,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Ask another datacenter than the agent's own.
    pub datacenter: Option<String>,
    /// Consul Enterprise only.
    pub namespace: Option<String>,
    /// The ACL token.
    pub token: Option<TokenSource>,
    /// Used with [`Scheme::Https`].
    pub tls: TlsOptions,
    /// Let any server answer, not only the leader: scales reads, and works without a leader. Without it, reads fall
    /// back to this by themselves while the agent answers with server errors.
    pub stale: bool,
    /// Have the leader make sure that it still is one before it answers. Excludes `stale`.
    pub consistent: bool,
    /// A user and the file with the password, for an agent behind a proxy that asks for them.
    pub login: Option<(String, PathBuf)>,
    /// How long a query may block, 1 s to 60 s.
    pub wait: Duration,
    /// How long the registry has to confirm a suspicious removal before it is applied.
    pub hold_max: Duration,
    /// The least time between two published snapshots; a change after a quiet time is published at once.
    pub min_interval: Duration,
    /// The service this process is in the Connect mesh; none where it is not a member.
    pub member: Option<String>,
    /// How many services may have a query of their own blocking at the agent, each with its own connection. An agent
    /// refuses more than 200 connections from one address by default (`limits.http_max_conns_per_client`): raise both
    /// together. Services beyond this number take turns, and their changes are seen some seconds later.
    pub max_watches: usize,
}

/// How to speak to the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

/// Where the ACL token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// Read at the start and again before each retry, so that a rotated token is picked up.
    File(PathBuf),
    /// The token itself.
    Literal(String),
}

/// TLS towards the agent.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM bundle of the authorities to trust; the system's where it is absent.
    pub ca: Option<PathBuf>,
    /// PEM file of the client certificate, together with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub key: Option<PathBuf>,
    /// Accept any certificate. For experiments.
    pub insecure_skip_verify: bool,
}

impl ConsulConfig {
    /// The defaults for the agent at `address` (`host:port`).
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            scheme: Scheme::Http,
            datacenter: None,
            namespace: None,
            token: None,
            tls: TlsOptions::default(),
            stale: false,
            consistent: false,
            login: None,
            wait: Duration::from_secs(55),
            hold_max: Duration::from_secs(300),
            min_interval: Duration::from_millis(20),
            member: None,
            max_watches: 128,
        }
    }

    /// What cannot be seen from the types alone.
    pub(crate) fn check(&self) -> Result<(), ConsulError> {
        if self.wait < Duration::from_secs(1) || self.wait > LONGEST_WAIT {
            return Err(ConsulError::Wait { wait: self.wait });
        }
        if self.max_watches == 0 {
            return Err(ConsulError::NoWatches);
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return Err(ConsulError::HalfIdentity);
        }
        Ok(())
    }
}

impl Default for ConsulConfig {
    /// The agent on this machine.
    fn default() -> Self {
        Self::new("127.0.0.1:8500")
    }
}

impl Scheme {
    /// As it is written in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Debug for TokenSource {
    /// Never shows the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Literal(_) => f.write_str("Literal(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked() {
        let good = ConsulConfig::default();
        assert!(good.check().is_ok());
        let bad = |change: fn(&mut ConsulConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().is_err()
        };
        assert!(bad(|config| config.wait = Duration::from_secs(61)));
        assert!(bad(|config| config.wait = Duration::from_millis(999)));
        assert!(bad(|config| config.max_watches = 0));
        assert!(bad(|config| config.tls.cert = Some("cert.pem".into())));
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = TokenSource::Literal("secret".into());
        assert!(!format!("{token:?}").contains("secret"));
    }
}
