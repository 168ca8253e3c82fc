//! Responses of the admin API.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

pub(super) type Body = Full<Bytes>;

pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    with_status(StatusCode::OK, value)
}

pub(super) fn with_status(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => build(status, "application/json", bytes),
        Err(error) => build(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", error.to_string().into()),
    }
}

/// A JSON object with one sentence in it.
pub(super) fn message(status: StatusCode, text: &str) -> Response<Body> {
    with_status(status, &serde_json::json!({ "message": text }))
}

pub(super) fn text(content_type: &'static str, text: String) -> Response<Body> {
    build(StatusCode::OK, content_type, text.into())
}

fn build(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A path segment with its percent-encodings decoded.
pub(super) fn decoded(segment: &str) -> Cow<'_, str> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// `2026-11-22T10:00:00.123Z`.
pub(super) fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
