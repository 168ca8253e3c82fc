//! Steps that send the client elsewhere.

use std::borrow::Cow;

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use regex::Captures;
use sluice_model::action::{RedirectScheme, SchemeSource};

use super::address::{host_and_port, moved, redirect, scheme};
use crate::http::{Body, Exchange, with_query};
use crate::live::native::{Piece, RedirectRegexp, RequestPart};
use crate::proxy::chain::Stopped;

/// 301 to the same path with its final slash toggled, the query kept.
pub(super) fn slash(exchange: &Exchange) -> Response<Body> {
    let path = exchange.path.as_str();
    let toggled = match path.strip_suffix('/') {
        Some("") | None => format!("{path}/"),
        Some(without) => without.to_owned(),
    };
    redirect(StatusCode::MOVED_PERMANENTLY, &with_query(&toggled, exchange.head.uri.query()))
}

/// To what the pattern makes of the address, unless it does not match or nothing changes.
pub(super) fn by_regexp(wanted: &RedirectRegexp, exchange: &Exchange) -> Option<Stopped> {
    let path = with_query(exchange.path.as_str(), exchange.head.uri.query());
    let authority = exchange.authority.to_str().unwrap_or_default();
    let address = format!("{}://{authority}{path}", scheme(exchange, wanted.scheme_from));
    match wanted.pattern.replace_all(&address, |found: &Captures<'_>| piece_together(wanted, found, exchange)) {
        Cow::Owned(location) if location != address => {
            Some(Stopped::Answered(moved(exchange, &location, wanted.permanent)))
        }
        _ => None,
    }
}

fn piece_together(wanted: &RedirectRegexp, found: &Captures<'_>, exchange: &Exchange) -> String {
    let mut location = String::new();
    for piece in &wanted.replacement {
        match piece {
            Piece::Text(text) => found.expand(text, &mut location),
            Piece::Request(part) => location += &said(part, exchange),
        }
    }
    location
}

/// What the request says.
fn said<'a>(part: &RequestPart, exchange: &'a Exchange) -> Cow<'a, str> {
    let text = |value: &'a HeaderValue| value.to_str().unwrap_or_default();
    match part {
        RequestPart::Host => text(&exchange.authority).into(),
        RequestPart::Method => exchange.head.method.as_str().into(),
        RequestPart::Target => with_query(exchange.path.as_str(), exchange.head.uri.query()).into(),
        RequestPart::Path => exchange.path.as_str().into(),
        RequestPart::Query => exchange.head.uri.query().unwrap_or_default().into(),
        RequestPart::Protocol => format!("{:?}", exchange.head.version).into(),
        RequestPart::Client => exchange.client.address.to_string().into(),
        RequestPart::Header(name) => exchange.head.headers.get(name).map_or("", text).into(),
    }
}

/// To the same address in another scheme, unless the client is there already.
pub(super) fn to_scheme(wanted: &RedirectScheme, exchange: &Exchange) -> Option<Stopped> {
    if wanted.except_entrypoint.as_deref().is_some_and(|name| *name == *exchange.client.entrypoint) {
        return None;
    }
    let (host, port) = host_and_port(exchange.authority.to_str().unwrap_or_default());
    let current = scheme(exchange, SchemeSource::Forwarded);
    let port = port.and_then(|port| port.parse().ok()).or_else(|| default_port(current));
    if current == wanted.scheme && port == wanted.port.or_else(|| default_port(&wanted.scheme)) {
        return None;
    }
    let port = wanted.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = with_query(exchange.path.as_str(), exchange.head.uri.query());
    Some(Stopped::Answered(moved(exchange, &format!("{}://{host}{port}{path}", wanted.scheme), wanted.permanent)))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{answered, exchange};
    use super::*;

    fn regexp(pattern: &str, replacement: &str, permanent: bool) -> RedirectRegexp {
        let (pattern, replacement) = (pattern.parse().unwrap(), vec![Piece::Text(replacement.to_owned())]);
        RedirectRegexp { pattern, replacement, permanent, scheme_from: SchemeSource::Connection }
    }

    fn scheme_step(port: Option<u16>) -> RedirectScheme {
        RedirectScheme { scheme: "https".into(), port, ..RedirectScheme::default() }
    }

    #[test]
    fn a_pattern_sees_scheme_host_port_path_and_query() {
        let step = regexp(r"^http://h\.test:81/(.*)$", "https://k.test/${1}", false);
        let (status, location) = answered(by_regexp(&step, &exchange("GET", "h.test:81", "/a/b?c=d")));
        assert_eq!((status, location.as_deref()), (302, Some("https://k.test/a/b?c=d")));
        assert!(by_regexp(&step, &exchange("GET", "h.test", "/a")).is_none());
    }

    #[test]
    fn what_the_request_says_is_never_a_template() {
        let mut request = exchange("POST", "h.test:81", "/a?b={{.Request.Host}}$0");
        request.head.headers.insert("x-to", "/$0{{1}}".parse().unwrap());
        let part = Piece::Request;
        let replacement = vec![
            Piece::Text("http://${h}".into()),
            part(RequestPart::Header("x-to".parse().unwrap())),
            part(RequestPart::Query),
            part(RequestPart::Method),
            part(RequestPart::Header("x-none".parse().unwrap())),
        ];
        let step = RedirectRegexp { replacement, ..regexp("^http://(?<h>[^:/]+).*$", "", false) };
        let location = answered(by_regexp(&step, &request)).1.unwrap();
        assert_eq!(location, "http://h.test/$0{{1}}b={{.Request.Host}}$0POST");
        for (part, wanted) in [
            (RequestPart::Host, "h.test:81"),
            (RequestPart::Target, "/a?b={{.Request.Host}}$0"),
            (RequestPart::Path, "/a"),
            (RequestPart::Protocol, "HTTP/1.1"),
        ] {
            assert_eq!(said(&part, &request), wanted, "{part:?}");
        }
    }

    #[test]
    fn the_method_decides_about_the_status() {
        for (method, permanent, status) in
            [("GET", false, 302), ("GET", true, 301), ("HEAD", false, 307), ("POST", true, 308)]
        {
            let step = regexp("^http", "https", permanent);
            assert_eq!(answered(by_regexp(&step, &exchange(method, "h.test", "/"))).0, status, "{method}");
        }
    }

    #[test]
    fn an_address_that_stays_the_same_passes() {
        assert!(by_regexp(&regexp("h.test", "h.test", false), &exchange("GET", "h.test", "/")).is_none());
    }

    #[test]
    fn only_a_step_that_asks_for_it_sees_the_forwarded_scheme() {
        let mut request = exchange("GET", "h.test", "/");
        request.head.headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let step = regexp("^https://", "http://", false);
        assert!(by_regexp(&step, &request).is_none());
        let step = RedirectRegexp { scheme_from: SchemeSource::Forwarded, ..step };
        assert!(by_regexp(&step, &request).is_some());
    }

    #[test]
    fn a_scheme_keeps_the_address_and_drops_its_port() {
        let location =
            |step: &RedirectScheme, host| answered(to_scheme(step, &exchange("GET", host, "/a?b"))).1.unwrap();
        assert_eq!(location(&scheme_step(None), "h.test:8080"), "https://h.test/a?b");
        assert_eq!(location(&scheme_step(Some(443)), "h.test"), "https://h.test:443/a?b");
        assert_eq!(location(&scheme_step(Some(8443)), "[::1]:80"), "https://[::1]:8443/a?b");
    }

    #[test]
    fn who_is_there_already_passes() {
        let mut request = exchange("GET", "h.test", "/");
        request.head.headers.insert("x-forwarded-proto", "https, http".parse().unwrap());
        assert!(to_scheme(&scheme_step(None), &request).is_none());
        assert!(to_scheme(&scheme_step(Some(443)), &request).is_none(), "443 is where https is anyway");
        assert!(to_scheme(&scheme_step(Some(8443)), &request).is_some());
    }

    #[test]
    fn the_entrypoint_the_redirect_leads_to_is_exempt() {
        let step = RedirectScheme { except_entrypoint: Some("web".into()), ..scheme_step(None) };
        assert!(to_scheme(&step, &exchange("GET", "h.test", "/")).is_none());
        let step = RedirectScheme { except_entrypoint: Some("websecure".into()), ..scheme_step(None) };
        assert!(to_scheme(&step, &exchange("GET", "h.test", "/")).is_some());
    }

    #[test]
    fn the_final_slash_is_toggled() {
        for (target, location) in [("/a?q=1", "/a/?q=1"), ("/a/", "/a")] {
            let response = slash(&exchange("GET", "h.test", target));
            assert_eq!(response.status(), 301);
            assert_eq!(response.headers()["location"], location, "{target}");
        }
    }
}
