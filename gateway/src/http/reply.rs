//! The answers the gateway gives itself, in one place: refusals, failures, and what a policy replied.

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode, Version};

use super::body::Body;
use super::ingress::Refusal;

/// Why an exchange got no answer from an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route matches.
    NoRoute,
    /// The service has no instance that takes requests.
    NoInstance,
    /// The service has as much under way as it takes, and as much waiting.
    Busy,
    /// Refused, reset, or closed before the first byte of an answer.
    Connect,
    /// It could not prove that it is who it should be.
    Untrusted,
    /// No connection in time.
    ConnectTimeout,
    /// No answer in time.
    ResponseTimeout,
    /// An answer that breaks the protocol.
    Protocol,
    /// A policy failed and its failure mode is closed.
    Policy,
    /// The connection was made with the TLS options of another host.
    Misdirected,
    /// A step produced a path that cannot be forwarded.
    Path,
    /// The request's body did not arrive in time.
    SlowBody,
    /// The request's body is longer than the entrypoint takes.
    LargeBody,
    /// The client broke off, or its body is malformed.
    Client,
    /// The request's body exceeds a limit of its route.
    BodyTooLarge,
    /// The answer's body exceeds a limit of its route.
    AnswerTooLarge,
    /// A body could not be kept in a file.
    Storage,
}

impl Failure {
    /// Status and body the client gets, as Traefik's.
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "404 page not found\n"),
            Self::NoInstance => (StatusCode::SERVICE_UNAVAILABLE, "no available server\n"),
            Self::Connect | Self::Protocol => (StatusCode::BAD_GATEWAY, "Bad Gateway"),
            Self::ConnectTimeout | Self::ResponseTimeout => (StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout"),
            Self::Busy | Self::Policy => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "Misdirected Request"),
            Self::Path | Self::Client => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
            Self::LargeBody => (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::Untrusted | Self::AnswerTooLarge | Self::Storage => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        }
    }

    /// The status the client gets.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.answer().0
    }

    /// The short code in the access log and in `request_errors_total`.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::NoInstance => "UH",
            Self::Busy => "UO",
            Self::Connect | Self::Untrusted => "UF",
            Self::ConnectTimeout | Self::ResponseTimeout => "UT",
            Self::Protocol => "UP",
            Self::Policy => "PT",
            Self::Misdirected => "MR",
            Self::Path | Self::Client | Self::SlowBody | Self::LargeBody | Self::BodyTooLarge => "DC",
            Self::AnswerTooLarge => "UP",
            Self::Storage => "IE",
        }
    }
}

/// The answer to a failed exchange.
#[must_use]
pub fn reply_to(failure: Failure) -> Response<Body> {
    let (status, body) = failure.answer();
    let mut response = plain(status, body);
    let over = matches!(
        failure,
        Failure::Path | Failure::SlowBody | Failure::LargeBody | Failure::BodyTooLarge | Failure::Client
    );
    if over {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer while a service has no instance that takes requests, in its own words.
#[must_use]
pub fn unavailable(text: &str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "");
    *response.body_mut() = Body::from(text.as_bytes().to_vec());
    response
}

/// The answer to a failed gRPC call: the call's status in the head, and no message.
#[must_use]
pub fn grpc_reply(failure: Failure) -> Response<Body> {
    // INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE
    let (status, message) = match failure {
        Failure::NoRoute => ("12", "no route"),
        Failure::NoInstance => ("14", "no available server"),
        Failure::Busy => ("14", "too many requests are waiting"),
        Failure::Connect | Failure::Untrusted => ("14", "the server cannot be reached"),
        Failure::ConnectTimeout => ("14", "the server cannot be reached in time"),
        Failure::ResponseTimeout => ("4", "no answer in time"),
        Failure::Protocol => ("14", "the server broke the protocol"),
        Failure::Policy => ("14", "a policy failed"),
        Failure::BodyTooLarge | Failure::AnswerTooLarge => ("8", "a message exceeds a limit of its route"),
        Failure::Storage => ("13", "a message could not be kept"),
        Failure::Path | Failure::Misdirected | Failure::Client | Failure::SlowBody | Failure::LargeBody => {
            ("3", "the request cannot be forwarded")
        }
    };
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    response
}

/// Why nothing new is begun while memory runs short.
pub const OUT_OF_MEMORY: Refusal = Refusal { reason: "memory", status: StatusCode::SERVICE_UNAVAILABLE };

/// The answer to a refused head. The connection is not used any further on HTTP/1.
#[must_use]
pub fn refusal(refusal: Refusal, version: Version) -> Response<Body> {
    let mut response = plain(refusal.status, refusal.status.canonical_reason().unwrap_or("refused"));
    if version != Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if refusal == OUT_OF_MEMORY {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The answer to a request whose body nobody will ask for. A client that waited to be told may send the body now or may
/// not, so what follows on the connection is not to be read.
#[must_use]
pub fn unread(mut response: Response<Body>, expects: bool) -> Response<Body> {
    if expects {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A short text.
#[must_use]
pub fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status.is_server_error() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
