//! One request and what belongs to it, from its head to the last byte of its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use rustls::pki_types::CertificateDer;
use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView};
use tokio::sync::Notify;

use super::body::BodyLimits;
use super::forwarded::Trust;
use super::held::Held;
use super::ingress::Refusal;
use super::notes::{HeaderEdit, Notes};
use super::strict::Refused;
use crate::config::{EncodedCharacters, HeaderNames};

/// What an entrypoint wants of requests.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Header fields.
    pub headers: usize,
    /// Of a request's body.
    pub body: BodyLimits,
    /// What becomes of headers with unusual names.
    pub header_names: HeaderNames,
    /// Which characters a path may have encoded.
    pub encoded_characters: EncodedCharacters,
    /// A `;` in a query belongs to a value; it separates parameters otherwise.
    pub encode_query_semicolons: bool,
}

impl Default for Rules {
    /// Those of an entrypoint that says nothing, except that bodies have no limits.
    fn default() -> Self {
        Self {
            headers: 100,
            body: BodyLimits::default(),
            header_names: HeaderNames::default(),
            encoded_characters: EncodedCharacters::default(),
            encode_query_semicolons: false,
        }
    }
}

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
    /// Set where this peer may set forwarding headers itself.
    pub trust: Option<Arc<Trust>>,
    /// What its requests may be.
    pub rules: Rules,
    /// Set once a header's name was unusual.
    odd_names: AtomicBool,
    /// Set once its reader refused something, which is its end.
    refused: OnceLock<Refused>,
    /// Set once it speaks another protocol.
    tunnel: OnceLock<Tunnel>,
    /// Requests whose answer has ended.
    answered: AtomicU32,
    /// Set while it has had nothing to ask for a time.
    resting: AtomicBool,
    /// Interim answers that are to be written before the answer.
    hints: Mutex<Vec<u8>>,
    has_hints: AtomicBool,
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

/// What the two tasks of a connection that speaks another protocol tell each other: the one that accepted it, and the
/// one that passes its bytes.
#[derive(Debug, Default)]
pub struct Tunnel {
    leaving: Notify,
    over: Notify,
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
    /// Whether a step has put another path in its place and told the upstream so.
    pub path_replaced: bool,
    /// Where it came from.
    pub client: Arc<Client>,
    /// Who a trusted peer says it came from.
    pub forwarded_for: Option<Box<(IpAddr, HeaderValue)>>,
    /// The client sends a body, which may turn out to be empty.
    pub has_body: bool,
    /// The client waits to be told before it sends the body.
    pub expects: bool,
    /// The `Upgrade` the client asked for, if it is one that is passed through.
    pub upgrade: Option<HeaderValue>,
    /// Changes policies want made to the response's headers, in order.
    pub response_edits: Vec<HeaderEdit>,
    /// What else policies left with it.
    pub notes: Option<Box<Notes>>,
    /// How often it has been sent to an instance.
    pub attempts: u32,
    /// What there is to send of its body.
    pub body: Sendable,
    /// The name of the route that answers, once one is found.
    pub route: Option<Arc<str>>,
    /// The name of the service that answers, once a route is found.
    pub service: Option<Arc<str>>,
}

/// What can be sent of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sendable {
    /// It comes from the client and can be sent once.
    #[default]
    Once,
    /// There is none.
    Nothing,
    /// It was read to its end and is in the notes: it can be sent again.
    Kept,
    /// It was the client's, and is gone.
    Gone,
}

impl Client {
    /// The peer of `address` on an entrypoint.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        entrypoint: Arc<str>,
        entrypoint_index: usize,
        tls: Option<TlsSession>,
        trust: Option<Arc<Trust>>,
        rules: Rules,
    ) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let ip_value = HeaderValue::try_from(address.ip().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address,
            ip_value,
            entrypoint,
            entrypoint_index,
            tls,
            trust,
            rules,
            odd_names: AtomicBool::new(false),
            refused: OnceLock::new(),
            tunnel: OnceLock::new(),
            answered: AtomicU32::new(0),
            resting: AtomicBool::new(false),
            hints: Mutex::default(),
            has_hints: AtomicBool::new(false),
        }
    }

    /// Whether names of headers have to be looked at closely.
    pub(super) fn has_odd_names(&self) -> bool {
        self.odd_names.load(Ordering::Relaxed)
    }

    pub(super) fn note_odd_names(&self) {
        self.odd_names.store(true, Ordering::Relaxed);
    }

    /// Passes early hints (103) on, without what concerns the connection they came over.
    pub fn hint(&self, headers: &HeaderMap) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        for (name, value) in headers {
            if !super::hop::is_hop_by_hop(name) && *name != CONTENT_LENGTH {
                let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
                line.iter().for_each(|part| hints.extend_from_slice(part));
            }
        }
        hints.extend_from_slice(b"\r\n");
        self.has_hints.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_hints(&self) -> bool {
        self.has_hints.load(Ordering::Relaxed)
    }

    pub(super) fn take_hints(&self) -> Vec<u8> {
        self.has_hints.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What its reader refused.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        self.refused.get()
    }

    /// Why the body of its last request was cut off, if it was.
    #[must_use]
    pub fn refused_body(&self) -> Option<Refusal> {
        self.refused().filter(|refused| refused.in_body).map(|refused| refused.refusal)
    }

    /// Only the first refusal counts.
    pub(super) fn refuse(&self, refused: Refused) {
        self.refused.set(refused).ok();
    }

    /// From here on it speaks the protocol a request asked for.
    pub fn switch(&self) -> &Tunnel {
        self.tunnel.get_or_init(Tunnel::default)
    }

    /// Set once it speaks another protocol.
    #[must_use]
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.tunnel.get()
    }

    pub(super) fn is_switched(&self) -> bool {
        self.tunnel.get().is_some()
    }

    /// The answer to one of its requests has ended.
    pub fn note_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests whose answer has ended.
    #[must_use]
    pub fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether it has had nothing to ask for a time, and all it asked for is on its way.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    pub(super) fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
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

impl Tunnel {
    /// Asks it to end.
    pub fn leave(&self) {
        self.leaving.notify_one();
    }

    /// Ready once it was asked to end.
    pub async fn told_to_leave(&self) {
        self.leaving.notified().await;
    }

    /// It has ended.
    pub fn end(&self) {
        self.over.notify_one();
    }

    /// Ready once it has ended.
    pub async fn over(&self) {
        self.over.notified().await;
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
            client: self.ip(),
        }
    }

    /// It becomes a request without a body.
    pub fn forget_body(&mut self) {
        self.body = Sendable::Nothing;
        self.has_body = false;
        for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, TRANSFER_ENCODING, EXPECT] {
            self.head.headers.remove(name);
        }
    }

    /// Its body can be sent again from here on.
    pub fn keep_body(&mut self, body: Held) {
        self.body = Sendable::Kept;
        self.notes().body = Some(body);
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

    /// The client's address: the peer's, or what a trusted peer says.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.forwarded_for.as_ref().map_or(self.client.ip(), |client| client.0)
    }

    /// The same as text.
    #[must_use]
    pub fn ip_value(&self) -> &HeaderValue {
        self.forwarded_for.as_ref().map_or(&self.client.ip_value, |client| &client.1)
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
