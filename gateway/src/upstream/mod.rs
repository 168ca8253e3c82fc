//! Step 7 of a request: a connection to the chosen instance, and the exchange on it.
//!
//! Takes an instance and a finished request; gives the response head with its body, or a [`SendError`] that says
//! whether the request can still go elsewhere. Connections are kept for each worker alone, so there is nothing to
//! lock. It never chooses an instance and never looks at routes.

mod connect;
mod pool;

pub use connect::Connector;
pub use pool::{Connection, Pool, PoolLimits};

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::http::{Failure, RequestBody};
use crate::state::InstanceState;

/// An answer, and the connection to give back once its body has been read.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// `None` where the connection cannot be used again.
    pub connection: Option<Connection>,
}

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
    ) -> Result<Answer, SendError> {
        // A kept connection may have been closed by its peer at this very moment; then the request comes back unsent
        // and the next one is tried. The last resort is a new connection.
        while let Some(connection) = (!upgrade).then(|| self.take(instance)).flatten() {
            match self.exchange(connection, request).await {
                Err(SendError { unsent: Some(unsent), .. }) => request = unsent,
                done => return done,
            }
        }
        let connected = tokio::time::timeout(self.connect_timeout(), self.connect(instance, upgrade)).await;
        let failure = match connected {
            Ok(Ok(connection)) => return self.exchange(connection, request).await,
            Ok(Err(cause)) => (Failure::Connect, cause.to_string()),
            Err(_) => (Failure::ConnectTimeout, "connecting took too long".to_owned()),
        };
        Err(SendError { failure: failure.0, unsent: Some(request), cause: failure.1 })
    }

    async fn exchange(&self, mut connection: Connection, request: Request<RequestBody>) -> Result<Answer, SendError> {
        let mut deadline = std::mem::take(&mut connection.deadline);
        deadline.set(self.response_timeout());
        let answered = {
            let mut answer = pin!(connection.send(request));
            let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                Poll::Pending => deadline.poll_due(cx).map(Err),
            });
            answered.await
        };
        deadline.clear();
        connection.deadline = deadline;
        match answered {
            Ok(Ok(response)) => {
                let reusable = connection.can_be_kept(response.status());
                Ok(Answer { response, connection: reusable.then_some(connection) })
            }
            Ok(Err((error, unsent))) => Err(SendError {
                failure: classify(&error),
                unsent: unsent.map(|request| *request),
                cause: describe(&error),
            }),
            Err(()) => {
                let cause = "no answer in time".to_owned();
                Err(SendError { failure: Failure::ResponseTimeout, unsent: None, cause })
            }
        }
    }
}

fn classify(error: &hyper::Error) -> Failure {
    let body = std::error::Error::source(error).and_then(|source| source.downcast_ref::<crate::http::BodyError>());
    match body {
        Some(crate::http::BodyError::Stalled(_)) => Failure::SlowBody,
        Some(crate::http::BodyError::Broken(_)) => Failure::Client,
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
