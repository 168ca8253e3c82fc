//! The address of a request as its client wrote it, and answers that send the client to another one.

use std::borrow::Cow;

use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use sluice_model::action::SchemeSource;

use crate::http::{Body, Exchange, plain};

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The scheme the client used.
pub(super) fn scheme(exchange: &Exchange, from: SchemeSource) -> &str {
    let forwarded = match from {
        SchemeSource::Connection => None,
        // What an untrusted client says of itself is gone by now.
        SchemeSource::Forwarded => exchange.head.headers.get(PROTO).and_then(|value| value.to_str().ok()),
    };
    match forwarded.and_then(|value| value.split(',').next()).map(str::trim) {
        None | Some("") => exchange.client.scheme(),
        Some("ws") => "http",
        Some("wss") => "https",
        Some(scheme) => scheme,
    }
}

/// Host and port as the client wrote them; brackets stay on.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let name_end = authority.rfind(']').map_or(0, |end| end + 1);
    match authority.get(name_end..).and_then(|rest| rest.find(':')) {
        Some(at) => {
            let (host, port) = authority.split_at(name_end + at);
            (host, port.strip_prefix(':').filter(|port| !port.is_empty()))
        }
        None => (authority, None),
    }
}

/// Sends the client to `location`. GET may be repeated as GET; every other method stays what it is.
pub(super) fn moved(exchange: &Exchange, location: &str, permanent: bool) -> Response<Body> {
    let status = match (exchange.head.method == Method::GET, permanent) {
        (true, false) => StatusCode::FOUND,
        (true, true) => StatusCode::MOVED_PERMANENTLY,
        (false, false) => StatusCode::TEMPORARY_REDIRECT,
        (false, true) => StatusCode::PERMANENT_REDIRECT,
    };
    redirect(status, location)
}

/// A redirect with the text of its status.
pub(super) fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = plain(status, status.canonical_reason().unwrap_or_default());
    if let Ok(location) = HeaderValue::try_from(&*visible(location)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// What has no place in an address is percent-encoded.
fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    let encoded = text.bytes().map(|byte| match byte {
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    Cow::Owned(encoded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (authority, host, port) in [
            ("a.test", "a.test", None),
            ("a.test:81", "a.test", Some("81")),
            ("a.test:", "a.test", None),
            ("[::1]", "[::1]", None),
            ("[::1]:81", "[::1]", Some("81")),
            ("", "", None),
        ] {
            assert_eq!(host_and_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn what_an_address_cannot_hold_is_encoded() {
        assert_eq!(visible("https://a/b?c=d"), "https://a/b?c=d");
        assert_eq!(visible("/a b\r\né"), "/a%20b%0D%0A%C3%A9");
    }
}
