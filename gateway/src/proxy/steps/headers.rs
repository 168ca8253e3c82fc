//! `headers`: set and removed on the way in and out, CORS, and what protects hosts and browsers.

use std::sync::Arc;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, STRICT_TRANSPORT_SECURITY, VARY,
};
use hyper::{Method, Response, StatusCode};

use super::Entered;
use super::address::{host_and_port, redirect};
use crate::http::{Body, Exchange, plain, with_query};
use crate::live::native::{Cors, HeaderEdit, Headers, Native, Secure};
use crate::proxy::chain::Stopped;

/// What is left to do with the answer.
pub(in super::super) struct Leave {
    /// A step of this kind.
    step: Arc<Native>,
    origin: Option<HeaderValue>,
    /// Whether the client speaks TLS.
    tls: bool,
}

/// Takes a request through the step: preflights first, then the changes, then the checks, which see them.
pub(super) fn enter(wanted: &Headers, step: &Arc<Native>, exchange: &mut Exchange) -> Entered {
    let origin = exchange.head.headers.get(ORIGIN).cloned();
    let asked = wanted.cors.as_ref().zip(origin.as_ref());
    if let Some(answer) = asked.and_then(|(cors, origin)| preflight(cors, origin, exchange)) {
        return Entered::Stop(Stopped::Answered(answer));
    }
    edit(&mut exchange.head.headers, &wanted.request);
    if let Some(host) = &wanted.host {
        exchange.set_host(host);
    }
    let mut tls = exchange.client.is_tls();
    if let Some(secure) = &wanted.secure {
        tls |= says_tls(secure, exchange);
        if let Some(answer) = check(secure, tls, exchange) {
            return Entered::Stop(Stopped::Answered(answer));
        }
    }
    if wanted.response.is_empty() && wanted.cors.is_none() && wanted.secure.is_none() {
        return Entered::Pass;
    }
    Entered::PassWith(super::Leave::Headers(Leave { step: Arc::clone(step), origin, tls }))
}

fn edit(headers: &mut HeaderMap, edits: &[HeaderEdit]) {
    for (name, value) in edits {
        match value {
            Some(value) => headers.insert(name, value.clone()),
            None => headers.remove(name),
        };
    }
}

impl Leave {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let Native::Headers(wanted) = &*self.step else { return };
        if let Some(secure) = &wanted.secure
            && let Some(hsts) = secure.hsts.as_ref().filter(|_| self.tls || secure.hsts_always)
        {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        edit(headers, &wanted.response);
        if let Some(cors) = &wanted.cors {
            allow(cors, self.origin.as_ref(), headers);
        }
    }
}

/// Says to a browser who may read an answer.
pub(super) fn allow(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    allow_origin(cors, origin, headers);
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, cors.expose.as_ref());
    if cors.vary {
        vary_by_origin(headers);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value.clone());
    }
}

/// The answer to a preflight, for an origin that may not ask as well: without the header it waits for, the browser
/// goes no further.
pub(super) fn preflight(cors: &Cors, origin: &HeaderValue, exchange: &Exchange) -> Option<Response<Body>> {
    let asked = &exchange.head.headers;
    let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if exchange.head.method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    allow_origin(cors, Some(origin), headers);
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, repeated(cors, cors.headers.as_ref(), wanted));
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, repeated(cors, cors.methods.as_ref(), Some(method)));
    headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    Some(response)
}

/// What may be used: with credentials a browser takes `*` literally, so what it asks for stands in its place.
fn repeated<'a>(
    cors: &Cors,
    allowed: Option<&'a HeaderValue>,
    asked: Option<&'a HeaderValue>,
) -> Option<&'a HeaderValue> {
    if cors.credentials && allowed.is_some_and(|allowed| allowed == "*") { asked } else { allowed }
}

fn allow_origin(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if cors.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if cors.any_origin && !cors.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else if let Some(origin) = origin.filter(|origin| cors.any_origin || may_ask(cors, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

fn may_ask(cors: &Cors, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    cors.origins.iter().any(|known| known == origin) || cors.origin_regexps.iter().any(|known| known.is_match(origin))
}

fn vary_by_origin(headers: &mut HeaderMap) {
    let names = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"origin"))
    };
    if !headers.get_all(VARY).iter().any(names) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Whether a header says that the client speaks TLS to whoever sent the request here.
fn says_tls(secure: &Secure, exchange: &Exchange) -> bool {
    secure.tls_headers.iter().any(|(name, value)| exchange.head.headers.get(name) == Some(value))
}

/// The answer to a request for a host that is not served, or one that has to come in by TLS.
fn check(secure: &Secure, tls: bool, exchange: &Exchange) -> Option<Response<Body>> {
    let carried = secure.host_headers.iter().find_map(|name| exchange.head.headers.get(name));
    let authority = carried.unwrap_or(&exchange.authority).to_str().unwrap_or_default();
    let is_served = |known: &String| {
        known.eq_ignore_ascii_case(authority) || known.eq_ignore_ascii_case(host_and_port(authority).0)
    };
    if !secure.allowed_hosts.is_empty() && !secure.allowed_hosts.iter().any(is_served) {
        return Some(plain(StatusCode::INTERNAL_SERVER_ERROR, "Bad Host"));
    }
    let wanted = secure.tls_redirect.as_ref()?;
    let host = wanted.host.as_deref().unwrap_or(authority);
    let is_right_host = !wanted.force_host || host.eq_ignore_ascii_case(authority);
    if tls && is_right_host {
        return None;
    }
    let status = if wanted.temporary { StatusCode::TEMPORARY_REDIRECT } else { StatusCode::MOVED_PERMANENTLY };
    let path = with_query(exchange.path.as_str(), exchange.head.uri.query());
    Some(redirect(status, &format!("https://{host}{path}")))
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
