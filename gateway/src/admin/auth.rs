//! Who may ask. Browsers can be made to ask on behalf of strangers, so the Host header has to be one that only somebody
//! who knows the gateway would use; beyond loopback a token is needed as well.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, TRANSFER_ENCODING,
};
use hyper::{Method, StatusCode};

/// How requests are told from others.
#[derive(Clone)]
pub(super) struct Guard {
    /// Read again for each request, so that a token can be changed without a restart.
    token_file: Option<PathBuf>,
}

impl Guard {
    pub(super) fn new(token_file: Option<PathBuf>) -> Self {
        Self { token_file }
    }

    /// Whether a request may be answered. Probes need no token: they say nothing worth hiding.
    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), (StatusCode, &'static str)> {
        if !host_is_local_name(headers) {
            return Err((
                StatusCode::FORBIDDEN,
                "ask by IP address or as `localhost`; other names could be a stranger's",
            ));
        }
        if *method != Method::GET && *method != Method::HEAD {
            check_change(headers)?;
        }
        let Some(file) = &self.token_file else { return Ok(()) };
        if matches!(path, "/ping" | "/ready") {
            return Ok(());
        }
        let expected = fs::read_to_string(file).unwrap_or_default();
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match given {
            Some(given) if is_same(given, expected.trim().as_bytes()) => Ok(()),
            _ => Err((StatusCode::UNAUTHORIZED, "send the token: `Authorization: Bearer TOKEN`")),
        }
    }
}

/// Whether a change may be made: not by a web page, and not with a body that a form could have sent.
fn check_change(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    // Browsers add at least one of these; "none" is a person who typed the address.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if headers.contains_key(ORIGIN) || site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return Err((StatusCode::FORBIDDEN, "changes cannot be made from a web page"));
    }
    let has_body =
        headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") || headers.contains_key(TRANSFER_ENCODING);
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if has_body && !kind.eq_ignore_ascii_case("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON: `Content-Type: application/json`"));
    }
    Ok(())
}

fn host_is_local_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    // A single label cannot be registered by a stranger: the name of a container or a machine.
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && !name.contains('.')) || name.ends_with(".localhost")
}

/// Takes the same time wherever the two differ. An empty token matches nothing.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    !b.is_empty() && a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn hosts_of_strangers_are_refused() {
        let guard = Guard::new(None);
        let ask = |host: &str| guard.check(&Method::GET, "/api/version", &headers(&[("host", host)])).is_ok();
        for host in ["127.0.0.1:8080", "localhost", "[::1]:8080", "gateway:8080", "a.localhost"] {
            assert!(ask(host), "{host}");
        }
        assert!(!ask("evil.test") && !ask("127.0.0.1.evil.test:8080") && !ask(""));
    }

    #[test]
    fn tokens_are_compared_whole() {
        let file = std::env::temp_dir().join(format!("sluice-token-{}", std::process::id()));
        fs::write(&file, "secret\n").unwrap();
        let guard = Guard::new(Some(file.clone()));
        let ask = |authorization: &str, path| {
            guard
                .check(&Method::GET, path, &headers(&[("host", "localhost"), ("authorization", authorization)]))
                .is_ok()
        };
        assert!(ask("Bearer secret", "/api/version") && ask("", "/ping"));
        for wrong in ["", "Bearer ", "Bearer secre", "Bearer secrets", "secret"] {
            assert!(!ask(wrong, "/api/version"), "{wrong}");
        }
        fs::write(&file, "").unwrap();
        assert!(!ask("Bearer ", "/api/version"), "an empty file lets nobody in");
    }

    #[test]
    fn web_pages_change_nothing() {
        let with_origin = headers(&[("host", "localhost"), ("origin", "http://evil.test")]);
        let change = |headers: &HeaderMap| Guard::new(None).check(&Method::POST, "/api/discovery/accept", headers);
        assert!(change(&with_origin).is_err());
        assert!(change(&headers(&[("host", "localhost")])).is_ok());
        for (site, taken) in [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)] {
            let headers = headers(&[("host", "localhost"), ("sec-fetch-site", site)]);
            assert_eq!(change(&headers).is_ok(), taken, "{site}");
        }
    }

    #[test]
    fn a_change_with_a_body_is_json() {
        let ask = |kind: &str| {
            let headers = headers(&[("host", "localhost"), ("content-length", "2"), ("content-type", kind)]);
            Guard::new(None).check(&Method::POST, "/api/policies/a/force", &headers).is_ok()
        };
        assert!(ask("application/json") && ask("Application/JSON; charset=utf-8"));
        assert!(!ask("text/plain") && !ask("application/x-www-form-urlencoded") && !ask(""));
    }
}
