//! The admin listener.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::auth::Guard;
use super::{View, answer, dispatch};

/// Connections at once; nobody needs many, and they must not eat the data plane's descriptors.
const CONNECTIONS: usize = 128;
/// For a request's head, and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// What a change says of itself.
const LONGEST_BODY: usize = 4096;
/// How long accepting rests after it failed.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why the admin API cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the admin API: {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves the admin API where the configuration has one.
///
/// # Errors
/// Its address cannot be listened on.
pub fn serve(background: &Runtime, view: View) -> Result<(), AdminError> {
    super::probes::note_start();
    let Some(admin) = view.config.admin.clone() else { return Ok(()) };
    let fail = |source| AdminError { address: admin.address, source };
    let listener = background.block_on(TcpListener::bind(admin.address)).map_err(fail)?;
    let guard = Guard::new(admin.token_file);
    background.spawn(accept(listener, Arc::new(view), guard));
    Ok(())
}

async fn accept(listener: TcpListener, view: Arc<View>, guard: Guard) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (view, guard) = (Arc::clone(&view), guard.clone());
        tokio::spawn(async move {
            connection(stream, view, guard).await;
            drop(place);
        });
    }
}

async fn answer(view: &View, guard: &Guard, request: Request<Incoming>) -> Response<answer::Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if let Err((status, text)) = guard.check(&head.method, path, &head.headers) {
        return answer::message(status, text);
    }
    let body = match head.method {
        Method::POST => Limited::new(body, LONGEST_BODY).collect().await.map(|body| body.to_bytes()),
        _ => Ok(Bytes::new()),
    };
    match body {
        Ok(body) => dispatch(view, &head.method, &head.uri, &body),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the body is longer than {LONGEST_BODY} bytes");
            answer::message(StatusCode::PAYLOAD_TOO_LARGE, &text)
        }
        Err(error) => answer::message(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}")),
    }
}

async fn connection(stream: TcpStream, view: Arc<View>, guard: Guard) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (view, guard) = (Arc::clone(&view), guard.clone());
        async move { Ok::<_, Infallible>(answer(&view, &guard, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // How a client ends its connection is its own business.
    builder.serve_connection(TokioIo::new(stream), service).await.ok();
}
