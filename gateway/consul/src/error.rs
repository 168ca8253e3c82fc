//! What can go wrong: with a configuration, before anything runs, and with one read, which is then retried.

use std::path::PathBuf;
use std::time::Duration;

/// Why a watcher cannot be built. Nothing that happens later is an error of this kind: a running watcher retries and
/// says in its [`Status`](crate::Status) what fails.
#[derive(Debug, thiserror::Error)]
pub enum ConsulError {
    /// The address is not `host:port`.
    #[error("use `{address}` as the address of a consul agent: write it as host:port")]
    Address {
        /// As configured.
        address: String,
    },
    /// The wait is out of bounds.
    #[error("let queries block for {wait:?}: choose between 1s and 60s")]
    Wait {
        /// As configured.
        wait: Duration,
    },
    /// No watch is allowed.
    #[error("watch services with max-watches = 0: allow at least one")]
    NoWatches,
    /// A certificate without its key, or a key without its certificate.
    #[error("present a client certificate to consul: name both the certificate and its key")]
    HalfIdentity,
    /// The token cannot be sent in a header.
    #[error("send the configured consul token: it contains characters that no token has")]
    Token,
    /// A file cannot be read.
    #[error("read {path}: check that it exists and is readable")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not contain what it should.
    #[error("use {path} for tls to consul: it has to be PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: reqwest::Error,
    },
    /// The HTTP client cannot be made of these options.
    #[error("make an http client for consul: check its tls options")]
    Client(#[source] reqwest::Error),
}

/// Why one read of the API gave nothing. Always retried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("read the consul token from {path}: {source}")]
    TokenFile { path: PathBuf, source: std::io::Error },
    #[error("read the consul token from {path}: it holds no usable token")]
    NoToken { path: PathBuf },
    #[error("reach the consul agent: {0}")]
    Transport(String),
    #[error("wait for the consul agent's answer: none within {0:?}, the agent or the network is stuck")]
    Deadline(Duration),
    #[error("consul refuses the token with 403 ({body}): replace it with one that may read services and nodes")]
    Denied { body: String },
    #[error("consul answers {status} ({body})")]
    Status { status: u16, body: String },
    #[error("consul's answer is filtered by acls: use a token that may read all services and nodes")]
    Filtered,
    #[error("consul's answer has no index: check what stands between gateway and agent")]
    NoIndex,
    #[error("consul's answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("understand consul's answer: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("consul has no way to read a service of this name: rename it")]
    Unreadable,
}

impl ReadError {
    /// Whether the agent has understood the question and will never answer it, as with names its router mangles.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Unreadable => true,
            Self::Status { status, .. } => matches!(status, 300..=499) && !matches!(status, 401 | 408 | 429),
            _ => false,
        }
    }

    /// Whether the servers behind the agent, not the question, are the problem.
    pub(crate) fn is_server_side(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status >= 500)
    }
}
