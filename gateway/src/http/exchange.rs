//! One request and what belongs to it, from its head to the last byte of its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use rustls::pki_types::CertificateDer;
use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView};

use super::notes::{HeaderEdit, Notes};

/// The connection a request came in on. Shared by all its requests.
#[derive(Debug)]
pub struct Client {
    /// The peer of the socket, IPv4-mapped addresses as IPv4.
    pub address: SocketAddr,
    /// The peer's IP as a header value.
    pub ip_value: HeaderValue,
    /// The entrypoint's name.
    pub entrypoint: Arc<str>,
    /// The entrypoint's position in the configuration.
    pub entrypoint_index: usize,
    /// Set where the connection is TLS.
    pub tls: Option<TlsSession>,
    /// Whether this peer may set forwarding headers itself.
    pub trusted: bool,
    /// A request's body may stall this long.
    pub body_idle: Duration,
}

/// What was agreed on in a TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSession {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The name the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The certificates the client showed and proved to own, its own first; empty where none were asked for or shown.
    pub peer_certificates: Box<[CertificateDer<'static>]>,
    /// The TLS options the connection was made with, by number: 0 are the entrypoint's own.
    pub options: usize,
}

/// A request being handled.
#[derive(Debug)]
pub struct Exchange {
    /// Method, version and headers; its URI is as the client sent it until [`super::finish_request`].
    pub head: Parts,
    /// Lower-cased, without its port and brackets; a trailing dot is kept.
    pub host: String,
    /// The Host header to send on, as the client wrote it.
    pub authority: HeaderValue,
    /// The path as it stands now; steps may have changed it.
    pub path: NormalPath,
    /// Whether a step changed the path.
    pub path_rewritten: bool,
    /// Where it came from.
    pub client: Arc<Client>,
    /// The `Upgrade` the client asked for, if it is one that is passed through.
    pub upgrade: Option<HeaderValue>,
    /// Changes policies want made to the response's headers, in order.
    pub response_edits: Vec<HeaderEdit>,
    /// What else policies left with it.
    pub notes: Option<Box<Notes>>,
    /// How often it has been sent to an instance.
    pub attempts: u32,
    /// The name of the route that answers, once one is found.
    pub route: Option<Arc<str>>,
    /// The name of the service that answers, once a route is found.
    pub service: Option<Arc<str>>,
}

impl Client {
    /// The peer of `address` on an entrypoint.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        entrypoint: Arc<str>,
        entrypoint_index: usize,
        tls: Option<TlsSession>,
        trusted: bool,
        body_idle: Duration,
    ) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let ip_value = HeaderValue::try_from(address.ip().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, ip_value, entrypoint, entrypoint_index, tls, trusted, body_idle }
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// The peer's IP address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl Exchange {
    /// What route rules look at.
    #[must_use]
    pub fn view(&self) -> RequestView<'_> {
        RequestView {
            host: &self.host,
            path: &self.path,
            query: self.head.uri.query(),
            method: self.head.method.as_str(),
            headers: self,
            client: self.client.ip(),
        }
    }

    /// Where policies leave something.
    pub fn notes(&mut self) -> &mut Notes {
        self.notes.get_or_insert_default()
    }

    /// Asks for another host upstream from here on; the forwarding headers keep the client's.
    pub fn set_host(&mut self, authority: &HeaderValue) {
        super::forwarded::keep_host(self);
        if let Ok(host) = super::ingress::host_of(authority) {
            self.host = host;
        }
        self.authority = authority.clone();
    }

    /// The host for people and policies: without a trailing dot.
    #[must_use]
    pub fn plain_host(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }
}

/// Route rules do not see `Host` as a header, as in Traefik: there are matchers for it.
impl HeaderValues for Exchange {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name != "host" && self.head.headers.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}
