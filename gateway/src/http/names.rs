//! Headers that are well-formed but that two servers may read in two ways: repeated ones, and unusual names.

use hyper::Version;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, FROM, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_RANGE, IF_UNMODIFIED_SINCE,
    MAX_FORWARDS, ORIGIN, RANGE, REFERER, USER_AGENT,
};
use hyper::http::request::Parts;

use super::exchange::{Client, Exchange};
use super::forwarded::is_twin;
use super::ingress::{Refusal, bad, refuse};
use crate::config::HeaderNames;

/// Headers that have one value. Of two, a policy would see one and the upstream perhaps the other.
const SINGLE: [HeaderName; 12] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    DATE,
    FROM,
    IF_MODIFIED_SINCE,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    MAX_FORWARDS,
    ORIGIN,
    RANGE,
    REFERER,
    USER_AGENT,
];

/// Refuses what is ambiguous, and removes what would be taken for something else.
pub(super) fn check(head: &mut Parts, client: &Client) -> Result<(), Refusal> {
    let headers = &mut head.headers;
    if headers.len() > headers.keys_len() {
        check_repeated(headers)?;
    }
    if head.version == Version::HTTP_2 && headers.len() > client.rules.headers {
        return Err(refuse("too_many_headers", hyper::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if head.version == Version::HTTP_2 || client.has_odd_names() {
        check_names(headers, client.rules.header_names)?;
    }
    Ok(())
}

/// Removes the headers that a server which cannot tell `_` and the like from `-` would take for this one, because the
/// gateway or a policy is about to say what it says.
pub fn remove_twins(exchange: &mut Exchange, name: &HeaderName) {
    if exchange.head.version != Version::HTTP_2 && !exchange.client.has_odd_names() {
        return;
    }
    let plain = |byte: &u8| if byte.is_ascii_alphanumeric() { *byte } else { b'-' };
    let twins = exchange.head.headers.keys().filter(|other| {
        *other != name && other.as_str().bytes().map(|byte| plain(&byte)).eq(name.as_str().as_bytes().iter().map(plain))
    });
    let twins: Vec<HeaderName> = twins.cloned().collect();
    for twin in twins {
        exchange.head.headers.remove(twin);
    }
}

fn check_repeated(headers: &HeaderMap) -> Result<(), Refusal> {
    let repeated = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    match SINGLE.iter().find(repeated) {
        Some(_) => Err(bad("duplicate_header")),
        None => Ok(()),
    }
}

fn check_names(headers: &mut HeaderMap, rule: HeaderNames) -> Result<(), Refusal> {
    // Where nothing but twins goes, only names that begin like one of those need a look.
    let may_go = |name: &str| rule != HeaderNames::Forward || name.starts_with(['x', 'f', 'c', 't', 'p']);
    let is_odd = |name: &str| !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let odd = headers.keys().filter(|name| may_go(name.as_str()) && is_odd(name.as_str()));
    let odd: Vec<HeaderName> = odd.cloned().collect();
    if rule == HeaderNames::Reject && !odd.is_empty() {
        return Err(bad("header_name"));
    }
    for name in odd {
        if rule == HeaderNames::Drop || is_twin(name.as_str()) {
            headers.remove(name);
        }
    }
    Ok(())
}
