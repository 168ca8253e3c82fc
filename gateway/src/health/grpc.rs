//! The standard gRPC health service, `grpc.health.v1.Health/Check`, for the server as a whole.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, TE};
use sluice_model::service::HealthCheck;

use super::ask::{Place, Stream, exchange};

/// A message without fields: not compressed, no bytes.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
/// An answer has two bytes and its frame.
const LONGEST_ANSWER: usize = 4096;
/// Field 1 as a number, and what it is when the server serves.
const SERVING: [u8; 2] = [0x08, 1];

pub(super) async fn ask(stream: Stream, check: &HealthCheck, place: &Place) -> Result<(), String> {
    let host = if check.host.is_empty() { place.authority() } else { check.host.clone() };
    let mut request = Request::post(format!("http://{host}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers");
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from_static(&EMPTY_MESSAGE)));
    let request = request.map_err(|error| format!("the check's request: {error}"))?;
    let answer = exchange(stream, request, true).await?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    // An answer without a message has its status in its head.
    if let Some(status) = answer.headers().get("grpc-status").filter(|status| *status != "0") {
        return Err(format!("gRPC status {}", status.to_str().unwrap_or("?")));
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await.map_err(|error| error.to_string())?;
    if let Some(status) =
        body.trailers().and_then(|trailers| trailers.get("grpc-status")).filter(|status| *status != "0")
    {
        return Err(format!("gRPC status {}", status.to_str().unwrap_or("?")));
    }
    match body.to_bytes().get(EMPTY_MESSAGE.len()..) {
        Some(message) if message == SERVING => Ok(()),
        _ => Err("the server says that it does not serve".to_owned()),
    }
}
