//! What steps do, as declared. The records of `wit/types.wit` document each for plugin authors.

use std::time::Duration;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take the first matching prefix off the path.
    StripPrefix(Vec<String>),
    /// The same with regular expressions.
    StripPrefixRegexp(Vec<String>),
    /// Put text before the path.
    AddPrefix(String),
    /// Set the path.
    ReplacePath(String),
    /// Replace what a regular expression matches in the path.
    ReplacePathRegexp {
        /// The regular expression.
        pattern: String,
        /// With `$1` and `${name}`.
        replacement: String,
    },
    /// Answer 301 to the path with its final slash toggled.
    RedirectSlash,
    /// Answer with the address a regular expression makes of the request's.
    RedirectRegexp(RedirectRegexp),
    /// Answer with the same address in another scheme.
    RedirectScheme(RedirectScheme),
    /// Set and remove headers, answer CORS preflights, refuse hosts.
    Headers(Box<Headers>),
    /// Send requests again.
    Retry(Retry),
    /// Read requests and answers to their end first.
    Buffering(Buffering),
    /// Send answers in a shorter coding.
    Compress(Compress),
    /// Refuse paths with encodings that are not allowed.
    EncodedCharacters(EncodedCharacters),
    /// Tell the service what certificates the client showed.
    ClientCertificate(ClientCertificate),
    /// Translate gRPC-Web, for browsers of these origins.
    GrpcWeb(Vec<String>),
    /// Guess the type of answers that do not say theirs.
    ContentType,
    /// Refuse requests that have been here before.
    LoopGuard(String),
    /// Other steps, in order.
    Chain(Vec<String>),
    /// A policy plugin with its settings as JSON.
    Policy {
        /// The plugin's name.
        plugin: String,
        /// JSON.
        settings: String,
    },
}

/// Where the scheme of the request's own address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemeSource {
    /// The connection.
    #[default]
    Connection,
    /// `X-Forwarded-Proto` where a trusted client sent it, else the connection.
    Forwarded,
}

/// A redirect to what a regular expression makes of the request's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectRegexp {
    /// Looked for in `scheme://host[:port]/path?query`.
    pub pattern: String,
    /// With `$1` and `${name}`.
    pub replacement: String,
    /// `{{.Request.…}}` in it stands for what the request says.
    pub templated: bool,
    /// 301 and 308 in place of 302 and 307.
    pub permanent: bool,
    /// The scheme of the address the pattern sees.
    pub scheme_from: SchemeSource,
}

/// A redirect to another scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectScheme {
    /// The scheme to go to.
    pub scheme: String,
    /// The port to write; none is written without.
    pub port: Option<u16>,
    /// 301 and 308 in place of 302 and 307.
    pub permanent: bool,
    /// Requests that come in on this entrypoint pass.
    pub except_entrypoint: Option<String>,
}

/// A header to set, or to remove where the value is empty.
pub type HeaderEdit = (String, String);

/// What a step does to headers, and which requests it answers itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Changes to the request. `Host` changes the host that is sent upstream.
    pub request: Vec<HeaderEdit>,
    /// Changes to the answer, whoever gives it.
    pub response: Vec<HeaderEdit>,
    /// Cross-origin requests.
    pub cors: Option<Cors>,
    /// Requests for other hosts are answered 500; none are where this is empty.
    pub allowed_hosts: Vec<String>,
    /// Request headers that may carry the host in place of `Host`.
    pub host_headers: Vec<String>,
    /// Request headers, and the values by which they say that the client speaks TLS.
    pub tls_headers: Vec<HeaderEdit>,
    /// Requests without TLS are redirected.
    pub tls_redirect: Option<TlsRedirect>,
    /// `Strict-Transport-Security`.
    pub hsts: Option<Hsts>,
}

/// What a server says to browsers about other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins that may ask; `*` is every one.
    pub origins: Vec<String>,
    /// Regular expressions of origins that may ask.
    pub origin_regexps: Vec<String>,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// `Access-Control-Allow-Headers` of preflights.
    pub headers: Vec<String>,
    /// `Access-Control-Allow-Methods` of preflights.
    pub methods: Vec<String>,
    /// `Access-Control-Expose-Headers`.
    pub expose: Vec<String>,
    /// `Access-Control-Max-Age` of preflights, in seconds.
    pub max_age: i64,
    /// Add `Origin` to `Vary`.
    pub vary: bool,
}

/// A redirect of requests without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRedirect {
    /// 307 in place of 301.
    pub temporary: bool,
    /// The host to go to; the request's own without.
    pub host: Option<String>,
    /// Requests with TLS for another host are redirected as well.
    pub force_host: bool,
}

/// `Strict-Transport-Security`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hsts {
    /// The value.
    pub value: String,
    /// Also on connections without TLS.
    pub always: bool,
}

/// When and how often requests are sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// All tries, the first one included.
    pub attempts: u32,
    /// Waited before the second try.
    pub initial_interval: Duration,
    /// No other try after this time; nothing is no limit.
    pub timeout: Duration,
    /// First and last statuses of answers to try again after.
    pub statuses: Vec<(u16, u16)>,
    /// Larger bodies are sent once.
    pub max_body: u64,
    /// Try again where nothing of the request had been sent.
    pub on_network_error: bool,
    /// Try again after a status for POST, PATCH and LOCK as well.
    pub non_idempotent: bool,
    /// A try without an answer after this time has failed; nothing is no limit of its own.
    pub try_timeout: Duration,
    /// A request without a body and without side effects goes to another instance as well after this time; nothing is
    /// never.
    pub hedge_after: Duration,
}

/// Which requests and answers are read to their end first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffering {
    /// Larger requests are answered 413; 0 is no limit.
    pub max_request: u64,
    /// What exceeds it goes to a file.
    pub memory_request: u64,
    /// Larger answers become 500; 0 is no limit.
    pub max_response: u64,
    /// What exceeds it goes to a file.
    pub memory_response: u64,
    /// When to send the request again.
    pub retry_expression: Option<String>,
}

/// Which answers are sent in a shorter coding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compress {
    /// `gzip`, `br` or `zstd`; the first one is preferred.
    pub encodings: Vec<String>,
    /// For clients that do not say what they take.
    pub default_encoding: Option<String>,
    /// Content types that are left alone.
    pub excluded: Vec<String>,
    /// If any, only these content types are touched.
    pub included: Vec<String>,
    /// Shorter answers are left alone.
    pub min_bytes: u64,
}

/// What may stand percent-encoded in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodedCharacters {
    /// `%2F`
    pub slash: bool,
    /// `%5C`
    pub backslash: bool,
    /// `%00`
    pub null_character: bool,
    /// `%3B`
    pub semicolon: bool,
    /// `%25`
    pub percent: bool,
    /// `%3F`
    pub question_mark: bool,
    /// `%23`
    pub hash: bool,
}

/// What is told of the certificates a client showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificates themselves.
    pub pem: bool,
    /// What they say.
    pub info: Option<CertificateInfo>,
    /// How it is written down.
    pub style: CertificateStyle,
}

/// What is told of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// When it begins to be valid.
    pub not_before: bool,
    /// When it ends.
    pub not_after: bool,
    /// The subject's alternative names.
    pub sans: bool,
    /// Its serial number.
    pub serial_number: bool,
    /// Of its subject.
    pub subject: NameParts,
    /// Of its issuer.
    pub issuer: NameParts,
}

/// Parts of a subject or issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameParts {
    /// `C`
    pub country: bool,
    /// `ST`
    pub province: bool,
    /// `L`
    pub locality: bool,
    /// `O`
    pub organization: bool,
    /// `OU`
    pub organizational_unit: bool,
    /// `CN`
    pub common_name: bool,
    /// `SN`
    pub serial_number: bool,
    /// `DC`
    pub domain_component: bool,
}

/// In which headers, and how joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateStyle {
    /// As Traefik 1.7.
    TraefikV1,
    /// As Traefik 3.
    #[default]
    TraefikV3,
}
