//! What policies see and answer, as plain Rust. The meaning of each is documented in `wit/`.

use std::borrow::Cow;
use std::num::NonZeroU64;
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
    /// The name of the entrypoint.
    Entrypoint,
    /// The name of the route.
    Route,
    /// The name of the service.
    Service,
    /// A request header by name; several values are joined by `, `.
    Header(Cow<'a, str>),
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
    /// Names of the response headers `on_response` gets, in this order.
    pub response_headers: Vec<String>,
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
pub struct Outcome {
    /// The status the client got; 499 when it went away before one was sent.
    pub status: u16,
    /// Why no usable answer came from upstream.
    pub failure: Option<Failure>,
    /// From the request's arrival to the end of the response.
    pub duration: Duration,
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

/// Limits of a set of token buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketSpec {
    /// Tokens gained each period.
    pub average: NonZeroU64,
    /// The period in nanoseconds.
    pub period_ns: NonZeroU64,
    /// Tokens a full bucket holds.
    pub burst: NonZeroU64,
}

/// What asking a bucket for tokens gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The tokens are taken.
    Granted {
        /// How long to wait before going on; 0 for at once.
        wait_ns: u64,
        /// Whole tokens left.
        remaining: u64,
    },
    /// Nothing was taken.
    Refused {
        /// How long until it could be granted at once.
        retry_ns: u64,
        /// Whole tokens left.
        remaining: u64,
    },
}
