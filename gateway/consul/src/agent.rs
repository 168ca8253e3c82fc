//! One HTTP exchange with an agent: takes a [`Query`], gives the [`Reply`] as it came. What a reply means is decided in
//! [`blocking`](crate::blocking).

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, Url, redirect};

use crate::config::{ConsulConfig, Scheme, TlsOptions};
use crate::error::{ConsulError, ReadError};
use crate::token::Token;

/// The agent is near: one that takes longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Far above the answer of any real registry; keeps a broken agent from filling the memory.
const BODY_LIMIT: usize = 64 << 20;
/// How much of an error page is worth showing.
const EXCERPT: usize = 200;

/// What a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `/v1/catalog/services`.
    Services,
    /// `/v1/health/service/<name>`.
    Service(Arc<str>),
    /// `/v1/health/connect/<name>`.
    Members(Arc<str>),
    /// `/v1/agent/connect/ca/roots`.
    Authorities,
    /// `/v1/agent/connect/ca/leaf/<name>`.
    Certificate(Arc<str>),
}

/// One read.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) source: &'a Source,
    /// Wait for a state newer than this index, for at most this long.
    pub(crate) block: Option<(u64, Duration)>,
    /// Any server may answer.
    pub(crate) stale: bool,
    /// The read before this one failed.
    pub(crate) retry: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) index: Option<u64>,
    pub(crate) known_leader: bool,
    /// How long ago the answering server heard of the leader.
    pub(crate) last_contact: Duration,
    pub(crate) filtered: bool,
    pub(crate) body: Vec<u8>,
}

/// The agent's API, or a test's stand-in for it.
pub(crate) trait Agent: Send + Sync + 'static {
    fn get(&self, query: &Query<'_>) -> impl Future<Output = Result<Reply, ReadError>> + Send;
}

/// A real agent.
#[derive(Debug)]
pub(crate) struct HttpAgent {
    client: Client,
    base: Url,
    datacenter: Option<String>,
    namespace: Option<String>,
    token: Token,
    consistent: bool,
    login: Option<Login>,
}

/// A user with the password.
struct Login {
    user: String,
    password: String,
}

impl HttpAgent {
    pub(crate) fn new(config: &ConsulConfig) -> Result<Self, ConsulError> {
        Ok(Self {
            client: client(config)?,
            base: base(config)?,
            datacenter: config.datacenter.clone(),
            namespace: config.namespace.clone(),
            token: Token::new(config.token.clone())?,
            consistent: config.consistent,
            login: config.login.as_ref().map(|(user, file)| Login::read(user, file)).transpose()?,
        })
    }

    fn url(&self, query: &Query<'_>) -> Result<Url, ReadError> {
        let mut url = self.base.clone();
        {
            let mut path = url.path_segments_mut().map_err(|()| ReadError::Unreadable)?;
            path.pop_if_empty();
            match query.source {
                Source::Services => path.extend(["v1", "catalog", "services"]),
                // A URL has no spelling for these two that survives.
                Source::Service(name) | Source::Members(name) | Source::Certificate(name)
                    if matches!(&**name, "." | ".." | "") =>
                {
                    return Err(ReadError::Unreadable);
                }
                Source::Service(name) => path.extend(["v1", "health", "service", name]),
                Source::Members(name) => path.extend(["v1", "health", "connect", name]),
                Source::Authorities => path.extend(["v1", "agent", "connect", "ca", "roots"]),
                Source::Certificate(name) => path.extend(["v1", "agent", "connect", "ca", "leaf", name]),
            };
        }
        {
            let mut pairs = url.query_pairs_mut();
            if let Some((index, wait)) = query.block {
                pairs.append_pair("index", &index.to_string());
                pairs.append_pair("wait", &format!("{}ms", wait.as_millis()));
            }
            // An agent has certificates of its own datacenter only.
            if let Some(datacenter) = self.datacenter.as_ref().filter(|_| !query.source.is_of_the_mesh()) {
                pairs.append_pair("dc", datacenter);
            }
            if let Some(namespace) = &self.namespace {
                pairs.append_pair("ns", namespace);
            }
            if query.stale {
                pairs.append_key_only("stale");
            } else if self.consistent {
                pairs.append_key_only("consistent");
            }
        }
        Ok(url)
    }
}

impl Login {
    fn read(user: &str, password: &Path) -> Result<Self, ConsulError> {
        let text = String::from_utf8_lossy(&read(password)?).into_owned();
        Ok(Self { user: user.to_owned(), password: text.trim_end_matches(['\r', '\n']).to_owned() })
    }
}

impl fmt::Debug for Login {
    /// Never shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Source {
    /// The service whose instances are read.
    pub(crate) fn service(&self) -> Option<&Arc<str>> {
        match self {
            Self::Service(name) | Self::Members(name) => Some(name),
            Self::Services | Self::Authorities | Self::Certificate(_) => None,
        }
    }

    /// Whether it is what the mesh knows members by.
    pub(crate) fn is_of_the_mesh(&self) -> bool {
        matches!(self, Self::Authorities | Self::Certificate(_))
    }
}

impl Agent for HttpAgent {
    async fn get(&self, query: &Query<'_>) -> Result<Reply, ReadError> {
        let mut request = self.client.get(self.url(query)?);
        if let Some(token) = self.token.get(query.retry).await? {
            request = request.header("X-Consul-Token", token);
        }
        if let Some(Login { user, password }) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(transport)?;
        let headers = response.headers();
        Ok(Reply {
            status: response.status().as_u16(),
            index: number(headers, "x-consul-index"),
            known_leader: text(headers, "x-consul-knownleader") != Some("false"),
            last_contact: Duration::from_millis(number(headers, "x-consul-lastcontact").unwrap_or(0)),
            filtered: text(headers, "x-consul-results-filtered-by-acls") == Some("true"),
            body: body(response).await?,
        })
    }
}

impl Reply {
    /// The start of the body in one line, for error messages.
    pub(crate) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Services => f.write_str("list of services"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Members(name) => write!(f, "connect members of service {name}"),
            Self::Authorities => f.write_str("connect authorities"),
            Self::Certificate(name) => write!(f, "connect certificate of {name}"),
        }
    }
}

fn base(config: &ConsulConfig) -> Result<Url, ConsulError> {
    let wrong = || ConsulError::Address { address: config.address.clone() };
    let url = Url::parse(&format!("{}://{}", config.scheme.as_str(), config.address)).map_err(|_| wrong())?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    // A port that is the scheme's own is dropped in parsing.
    let port = config.address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if bare && port { Ok(url) } else { Err(wrong()) }
}

fn client(config: &ConsulConfig) -> Result<Client, ConsulError> {
    // Where the process has chosen a provider already, that one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Duration::from_secs(15))
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")));
    let builder = match config.scheme {
        // Without roots: loading the system's is work, and fails where there are none.
        Scheme::Http => builder.tls_certs_only([]),
        Scheme::Https => with_tls(builder, &config.tls)?,
    };
    builder.build().map_err(ConsulError::Client)
}

fn with_tls(mut builder: ClientBuilder, tls: &TlsOptions) -> Result<ClientBuilder, ConsulError> {
    if let Some(path) = &tls.ca {
        let roots = Certificate::from_pem_bundle(&read(path)?).map_err(|error| pem(path, error))?;
        builder = builder.tls_certs_only(roots);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let mut both = read(cert)?;
        both.push(b'\n');
        both.extend(read(key)?);
        builder = builder.identity(Identity::from_pem(&both).map_err(|error| pem(cert, error))?);
    }
    Ok(builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify))
}

fn read(path: &Path) -> Result<Vec<u8>, ConsulError> {
    std::fs::read(path).map_err(|source| ConsulError::File { path: path.into(), source })
}

fn pem(path: &Path, source: reqwest::Error) -> ConsulError {
    ConsulError::Pem { path: path.into(), source }
}

async fn body(mut response: Response) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(ReadError::TooLarge { limit: BODY_LIMIT });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The whole chain of causes in one line: the outermost alone never says what happened.
fn transport(error: reqwest::Error) -> ReadError {
    let error = error.without_url();
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    ReadError::Transport(message)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn url(name: &str) -> Result<String, ReadError> {
        let mut config = ConsulConfig::new("localhost:8500");
        config.datacenter = Some("dc 2".into());
        let agent = HttpAgent::new(&config).unwrap();
        let source = Source::Service(name.into());
        let block = Some((7, Duration::from_secs(55)));
        let query = Query { source: &source, block, stale: true, retry: false };
        agent.url(&query).map(Into::into)
    }

    #[test]
    fn names_are_escaped_as_one_segment() {
        let expected = "http://localhost:8500/v1/health/service/a%2Fb%20%25%3F%23?index=7&wait=55000ms&dc=dc+2&stale";
        assert_eq!(url("a/b %?#").unwrap(), expected);
        assert!(matches!(url(".."), Err(ReadError::Unreadable)));
    }

    #[test]
    fn only_host_and_port_make_an_address() {
        let check = |address: &str| base(&ConsulConfig::new(address)).is_ok();
        for good in ["127.0.0.1:8500", "consul:80", "[::1]:8500"] {
            assert!(check(good), "{good}");
        }
        for bad in
            ["", "consul", "http://consul:8500", "consul:8500/v1", "a b:1", "u@consul:1", "consul:99999", "[::1]"]
        {
            assert!(!check(bad), "{bad}");
        }
    }
}
