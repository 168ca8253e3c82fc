//! Who may ask. Browsers can be made to ask on behalf of strangers, so the Host header has to be one that only somebody
//! who knows the gateway would use; beyond loopback a token is needed as well.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
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
        if *method != Method::GET && *method != Method::HEAD && headers.contains_key("origin") {
            return Err((StatusCode::FORBIDDEN, "changes cannot be made from a web page"));
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
        assert!(Guard::new(None).check(&Method::POST, "/api/discovery/accept", &with_origin).is_err());
    }
}
