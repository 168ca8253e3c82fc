//! Native steps, compiled: everything a request needs of them is checked and in the form it is used in.

use hyper::header::{HeaderName, HeaderValue};
use regex::Regex;
use sluice_model::action::{RedirectScheme, SchemeSource, TlsRedirect};

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
    /// With `$1` and `${name}`.
    pub replacement: String,
    /// 301 and 308 in place of 302 and 307.
    pub permanent: bool,
    /// The scheme of the address the pattern sees.
    pub scheme_from: SchemeSource,
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
