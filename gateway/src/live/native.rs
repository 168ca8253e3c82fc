//! Native steps, compiled: everything a request needs of them is checked and in the form it is used in.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use regex::Regex;
use sluice_model::action::{ClientCertificate, RedirectScheme, Retry, SchemeSource, TlsRedirect};
use sluice_model::retry::RetryExpression;

/// A native step.
#[derive(Debug)]
pub enum Native {
    /// Changes the path.
    Path(PathStep),
    /// Answers 301 to the path with its final slash toggled.
    RedirectSlash,
    /// Answers with the address a regular expression makes of the request's.
    RedirectRegexp(RedirectRegexp),
    /// Answers with the same address in another scheme.
    RedirectScheme(RedirectScheme),
    /// Sets and removes headers, answers CORS preflights, refuses hosts.
    Headers(Box<Headers>),
    /// Sends requests again.
    Retry(Arc<Retry>),
    /// Reads requests and answers to their end first.
    Buffering(Arc<Buffering>),
    /// Sends answers in a shorter coding.
    Compress(Compress),
    /// Refuses paths with one of these encodings, in upper case.
    EncodedCharacters(Vec<&'static str>),
    /// Tells the service what certificates the client showed.
    ClientCertificate(ClientCertificate),
    /// Translates gRPC-Web, and answers its preflights.
    GrpcWeb(Box<Cors>),
    /// Guesses the type of answers that do not say theirs.
    ContentType,
    /// Refuses requests that have been here before.
    LoopGuard(HeaderValue),
}

/// A change to the path.
#[derive(Debug)]
pub enum PathStep {
    /// Take the first of these that the decoded path begins with off it.
    StripPrefix(Vec<String>),
    /// Take what the first of these matches at the path's beginning off it.
    StripPrefixRegexp(Vec<Regex>),
    /// Put this before it.
    AddPrefix(String),
    /// Put this in its place.
    Replace(String),
    /// Replace what a regular expression matches.
    ReplaceRegexp(Regex, String),
}

/// A redirect to what a regular expression makes of the request's address.
#[derive(Debug)]
pub struct RedirectRegexp {
    /// Looked for in the address.
    pub pattern: Regex,
    /// In order.
    pub replacement: Vec<Piece>,
    /// 301 and 308 in place of 302 and 307.
    pub permanent: bool,
    /// The scheme of the address the pattern sees.
    pub scheme_from: SchemeSource,
}

/// A piece of the address a redirect leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// With `$1` and `${name}`.
    Text(String),
    /// What the request says.
    Request(RequestPart),
}

/// What a request says, by the names Go has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// `Host`
    Host,
    /// `Method`
    Method,
    /// `RequestURI`: path and query.
    Target,
    /// `URL.Path`
    Path,
    /// `URL.RawQuery`
    Query,
    /// `Proto`
    Protocol,
    /// `RemoteAddr`
    Client,
    /// `Header.Get "…"`
    Header(HeaderName),
}

/// A header to set, or to remove where there is no value.
pub type HeaderEdit = (HeaderName, Option<HeaderValue>);

/// What a step does to headers, and which requests it answers itself.
#[derive(Debug, Default)]
pub struct Headers {
    /// Changes to the request.
    pub request: Vec<HeaderEdit>,
    /// The host to send upstream in place of the client's.
    pub host: Option<HeaderValue>,
    /// Changes to the answer.
    pub response: Vec<HeaderEdit>,
    /// Cross-origin requests.
    pub cors: Option<Cors>,
    /// Which hosts may be asked for, and whether by TLS.
    pub secure: Option<Secure>,
}

/// What is said to browsers about other origins.
#[derive(Debug)]
pub struct Cors {
    /// Every origin may ask.
    pub any_origin: bool,
    /// Origins that may ask.
    pub origins: Vec<String>,
    /// And those that one of these matches.
    pub origin_regexps: Vec<Regex>,
    /// With credentials.
    pub credentials: bool,
    /// `Access-Control-Allow-Headers` of preflights.
    pub headers: Option<HeaderValue>,
    /// `Access-Control-Allow-Methods` of preflights.
    pub methods: Option<HeaderValue>,
    /// `Access-Control-Expose-Headers`.
    pub expose: Option<HeaderValue>,
    /// `Access-Control-Max-Age` of preflights.
    pub max_age: HeaderValue,
    /// Add `Origin` to `Vary`.
    pub vary: bool,
}

/// Which hosts may be asked for, and whether by TLS.
#[derive(Debug, Default)]
pub struct Secure {
    /// Every host where this is empty.
    pub allowed_hosts: Vec<String>,
    /// Request headers that may carry the host in place of `Host`.
    pub host_headers: Vec<HeaderName>,
    /// Request headers, and the values by which they say that the client speaks TLS.
    pub tls_headers: Vec<(HeaderName, HeaderValue)>,
    /// Requests without TLS are redirected.
    pub tls_redirect: Option<TlsRedirect>,
    /// `Strict-Transport-Security`.
    pub hsts: Option<HeaderValue>,
    /// Also without TLS.
    pub hsts_always: bool,
}

/// How much of a body is taken, and how much of that is kept in memory; the rest goes to a file.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Nothing longer is taken.
    pub most: u64,
    /// Kept in memory.
    pub in_memory: u64,
}

/// Which requests and answers are read to their end first.
#[derive(Debug)]
pub struct Buffering {
    /// For requests.
    pub request: BodyLimits,
    /// For answers.
    pub response: BodyLimits,
    /// When to send the request again.
    pub again: Option<RetryExpression>,
}

/// Which answers are sent in a shorter coding.
#[derive(Debug)]
pub struct Compress {
    /// The preferred one first.
    pub codings: Vec<Coding>,
    /// For clients that do not say what they take.
    pub default: Option<Coding>,
    /// Content types, without parameters and in lower case, that are left alone.
    pub excluded: Vec<String>,
    /// If any, only these are touched.
    pub included: Vec<String>,
    /// Shorter answers are left alone.
    pub min_bytes: u64,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// As headers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            any_origin: false,
            origins: Vec::new(),
            origin_regexps: Vec::new(),
            credentials: false,
            headers: None,
            methods: None,
            expose: None,
            max_age: HeaderValue::from_static("0"),
            vary: false,
        }
    }
}
