//! What policies see and answer, as plain Rust. The meaning of each is documented in `wit/`.

use std::borrow::Cow;
use std::time::Duration;

/// A value of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field<'a> {
    /// The method.
    Method,
    /// The normalised path, without the query.
    Path,
    /// The query without `?`.
    Query,
    /// The host as the client sent it, without its port.
    Host,
    /// `http` or `https`.
    Scheme,
    /// The address the connection came from, without its port.
    ClientIp,
    /// The port the connection came from.
    ClientPort,
    /// The name of the entrypoint.
    Entrypoint,
    /// The name of the route.
    Route,
    /// The name of the service.
    Service,
    /// `true` on a connection with TLS.
    Tls,
    /// How often the request has been sent to an instance.
    Attempt,
    /// What tells this request from all others.
    RequestId,
    /// A request header by name; several values are joined by `, `.
    Header(Cow<'a, str>),
    /// The first cookie of that name.
    Cookie(Cow<'a, str>),
    /// The first query parameter of that name, decoded.
    QueryParam(Cow<'a, str>),
    /// One the plugin may not read: it is always absent.
    Withheld,
}

/// Which hooks a policy wants, and with which values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Call `on_request`.
    pub on_request: bool,
    /// Call `on_response`.
    pub on_response: bool,
    /// Call `on_complete`.
    pub on_complete: bool,
    /// What `on_request` gets, in this order.
    pub request_fields: Vec<Field<'static>>,
    /// Names of the response headers `on_response` gets, in this order. An empty one is one the plugin may not read.
    pub response_headers: Vec<String>,
    /// Call `on_request_body` for bodies of up to that many bytes.
    pub request_body: Option<u64>,
    /// What longer ones are refused with.
    pub request_body_status: u16,
    /// Call `on_response_body` for bodies of up to that many bytes.
    pub response_body: Option<u64>,
}

impl Subscription {
    /// Whether it wants to hear of an exchange after `on_request`.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.on_response || self.on_complete || self.request_body.is_some() || self.response_body.is_some()
    }
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Next {
        /// Comes back in this exchange's later hooks of the policy.
        context: u64,
    },
    /// Answer now.
    Respond(Reply),
    /// Go on after waiting.
    Delay {
        /// How long, a minute at most.
        time: Duration,
        /// Comes back in this exchange's later hooks of the policy.
        context: u64,
    },
    /// Go to another service.
    Reroute(Box<Reroute>),
    /// Discard the answer and send the request again.
    Retry {
        /// After waiting that long, a minute at most.
        time: Duration,
        /// Comes back in this exchange's later hooks of the policy.
        context: u64,
    },
}

/// Another service for an exchange. Names, paths and headers are as the plugin wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reroute {
    /// `name` or `name@provider`.
    pub service: String,
    /// Path and query of another request.
    pub path: Option<String>,
    /// The method of another request.
    pub method: Option<String>,
    /// For the answer that takes the place of a discarded one.
    pub status: Option<u16>,
    /// Added to the answer.
    pub headers: Vec<(String, String)>,
    /// The answer has to begin within that.
    pub timeout: Option<Duration>,
    /// Comes back in this exchange's later hooks of the policy.
    pub context: u64,
}

/// What becomes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyVerdict {
    /// It stays as it is.
    Keep,
    /// This takes its place.
    Replace(Vec<u8>),
    /// This is answered.
    Respond(Reply),
}

/// An answer in place of the upstream's. Its headers are as the plugin wrote them: check them before they go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The status the client got; 499 when it went away before one was sent.
    pub status: u16,
    /// Why no usable answer came from upstream.
    pub failure: Option<Failure>,
    /// From the request's arrival to the end of the response.
    pub duration: Duration,
    /// `address:port` of the instance that was asked last, empty where none was.
    pub instance: &'a str,
    /// What the instance answered.
    pub upstream_status: Option<u16>,
    /// Of the request's body.
    pub request_bytes: u64,
    /// Of the response's body.
    pub response_bytes: u64,
    /// Whether a policy sent it to another service.
    pub rerouted: bool,
    /// What the answer to a gRPC call says.
    pub grpc_status: Option<u32>,
}

impl Outcome<'_> {
    /// An exchange of that status and duration about which nothing more is known.
    #[must_use]
    pub fn new(status: u16, duration: Duration) -> Self {
        Self {
            status,
            failure: None,
            duration,
            instance: "",
            upstream_status: None,
            request_bytes: 0,
            response_bytes: 0,
            rerouted: false,
            grpc_status: None,
        }
    }
}

/// Why no usable answer came from upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Refused, reset or closed before an answer.
    Connect,
    /// Too late.
    Timeout,
    /// The answer broke off or broke the protocol.
    Protocol,
    /// No instance was available.
    NoInstance,
    /// The client went away first.
    Client,
}
