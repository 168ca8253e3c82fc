//! Step 7 of a request: a connection to the chosen instance, and the exchange on it.
//!
//! Takes an instance and a finished request; gives the response head with its body, or a [`SendError`] that says
//! whether the request can still go elsewhere. Connections are kept for each worker alone, so there is nothing to
//! lock. It never chooses an instance and never looks at routes.

mod body;
mod connect;
mod http1;
mod once;
mod pool;

pub use body::AnswerBody;
pub use connect::Connector;
pub use http1::Switched;
#[cfg(any(test, fuzzing))]
pub use http1::fuzz;
pub use once::TlsTo;
pub use pool::{Connection, Pool, PoolLimits};

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use hyper::client::conn::http2;
use hyper::{Method, Request, Response};
use sluice_model::Scheme;

use crate::http::{BodyError, Failure, RequestBody};
use crate::state::InstanceState;
use crate::timer::Deadline;
use http1::NoAnswer;
use pool::{Held, Way};

/// Why there is no answer.
pub struct SendError {
    /// What went wrong.
    pub failure: Failure,
    /// The request, where nothing of it has been sent.
    pub unsent: Option<Request<RequestBody>>,
    /// For the log.
    pub cause: String,
}

impl Pool {
    /// Sends a request to an instance over a kept or a new connection.
    ///
    /// # Errors
    /// [`SendError`]; the request comes back where it can be tried elsewhere.
    pub async fn send(
        &self,
        instance: &std::sync::Arc<InstanceState>,
        mut request: Request<RequestBody>,
        upgrade: bool,
    ) -> Result<Response<AnswerBody>, SendError> {
        let scheme = instance.key.scheme;
        // A kept connection may have been closed by its peer at this very moment; then the request comes back unsent
        // and the next one is tried. The last resort is a new connection.
        while let Some(way) = self.take(instance, upgrade) {
            let begun = self.begin(way, request, scheme);
            match self.answer(begun, Kept::Yes).await {
                Err(SendError { unsent: Some(unsent), .. }) => request = unsent,
                done => return done,
            }
        }
        // Apart, since few requests need it and all would carry its state around.
        let connected = Box::pin(tokio::time::timeout(self.connect_timeout(), self.connect(instance, upgrade))).await;
        let (failure, cause) = match connected {
            Ok(Ok(way)) => {
                let begun = self.begin(way, request, scheme);
                return self.answer(begun, Kept::No).await;
            }
            Ok(Err(cause)) => (classify_connect(&cause), cause.to_string()),
            Err(_) => (Failure::ConnectTimeout, "connecting took too long".to_owned()),
        };
        Err(SendError { failure, unsent: Some(request), cause })
    }

    /// Hands the request over to a connection; it is sent once the answer is asked for.
    fn begin(&self, way: Way, request: Request<RequestBody>, scheme: Scheme) -> Begun<'_> {
        match way {
            Way::Http1(mut connection) => {
                connection.held.wire.begin(request);
                Begun::Http1(connection)
            }
            Way::Http2(sender) => Begun::Http2(Box::pin(self.exchange_http2(sender, request, scheme))),
        }
    }

    async fn answer(&self, begun: Begun<'_>, kept: Kept) -> Result<Response<AnswerBody>, SendError> {
        match begun {
            Begun::Http1(connection) => self.answer_http1(connection, kept).await,
            Begun::Http2(exchange) => exchange.await,
        }
    }

    async fn answer_http1(&self, mut connection: Connection, kept: Kept) -> Result<Response<AnswerBody>, SendError> {
        let Held { wire, deadline, .. } = &mut *connection.held;
        deadline.set(self.response_timeout());
        let answered = poll_fn(|cx| match wire.poll_answer(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => {
                // The time for an answer begins with the end of the request; the body has a limit of its own.
                if wire.is_sending() {
                    deadline.set(self.response_timeout());
                }
                deadline.poll_due(cx).map(Err)
            }
        });
        let (failure, cause) = match answered.await {
            Ok(Ok(answer)) => {
                deadline.clear();
                return Ok(Response::from_parts(answer, AnswerBody::Http1(Some(connection))));
            }
            Ok(Err(error)) => (classify_http1(&error), error.to_string()),
            Err(()) => return Err(SendError::late()),
        };
        let unsent = connection.held.wire.take_unsent(|method| kept == Kept::Yes && is_idempotent(method));
        Err(SendError { failure, unsent, cause })
    }

    async fn exchange_http2(
        &self,
        mut sender: http2::SendRequest<RequestBody>,
        mut request: Request<RequestBody>,
        scheme: Scheme,
    ) -> Result<Response<AnswerBody>, SendError> {
        if let Some(forwarding) = request.body_mut().forwarding.take() {
            forwarding.add_to(request.headers_mut());
        }
        let mut deadline = Deadline::default();
        deadline.set(self.response_timeout());
        let mut answer = pin!(sender.try_send_request(pool::with_authority(request, scheme)));
        let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => deadline.poll_due(cx).map(Err),
        });
        match answered.await {
            Ok(Ok(response)) => Ok(response.map(AnswerBody::Http2)),
            Ok(Err(mut error)) => {
                let unsent = error.take_message();
                let error = error.into_error();
                Err(SendError { failure: classify(&error), unsent, cause: describe(&error) })
            }
            Err(()) => Err(SendError::late()),
        }
    }
}

/// A request that a connection has taken.
enum Begun<'a> {
    Http1(Connection),
    /// Apart, so that those over HTTP/1.1 do not carry its state around.
    Http2(Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, SendError>> + 'a>>),
}

/// Whether a connection has carried exchanges before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

impl SendError {
    /// The answer did not come in time.
    #[must_use]
    pub fn late() -> Self {
        Self { failure: Failure::ResponseTimeout, unsent: None, cause: "no answer in time".to_owned() }
    }
}

/// Whether making a request twice does what making it once does (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE)
}

/// Certificates that are not believed are told apart, as Traefik does: another try will not mend them.
fn classify_connect(error: &io::Error) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => Failure::Untrusted,
        _ => Failure::Connect,
    }
}

fn classify_http1(error: &NoAnswer) -> Failure {
    match error {
        NoAnswer::Io(_) | NoAnswer::Closed => Failure::Connect,
        NoAnswer::Invalid(_) => Failure::Protocol,
        NoAnswer::Body(error) => classify_body(error),
    }
}

/// What failed is the client's side.
fn classify_body(error: &BodyError) -> Failure {
    match error {
        BodyError::Stalled(_) | BodyError::Slow(_) => Failure::SlowBody,
        BodyError::TooLarge(_) => Failure::LargeBody,
        BodyError::Broken(_) | BodyError::Io(_) | BodyError::NotBase64 => Failure::Client,
        BodyError::Lost(_) => Failure::Storage,
    }
}

fn classify(error: &hyper::Error) -> Failure {
    let body = std::error::Error::source(error).and_then(|source| source.downcast_ref::<BodyError>());
    match body {
        Some(error) => classify_body(error),
        None if error.is_parse() => Failure::Protocol,
        None => Failure::Connect,
    }
}

fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
