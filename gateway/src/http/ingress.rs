//! The ingress normaliser: decides what of a parsed head is accepted, and brings it into one form.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::{Method, StatusCode, Version};
use sluice_model::path::NormalPath;

use super::exchange::{Client, Exchange, Sendable};
use super::forwarded::Trust;
use super::strict::is_in_host;
use super::{forwarded, hop, names, with_query};

/// A request that is not handled, why, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A short fixed word, for metrics and the log.
    pub reason: &'static str,
    /// What the client is told.
    pub status: StatusCode,
}

pub(super) const fn refuse(reason: &'static str, status: StatusCode) -> Refusal {
    Refusal { reason, status }
}

pub(super) const fn bad(reason: &'static str) -> Refusal {
    refuse(reason, StatusCode::BAD_REQUEST)
}

/// Longest path with query, as the request line carries it.
const LONGEST_TARGET: usize = 8 * 1024;

/// Accepts or refuses a head.
///
/// # Errors
/// A [`Refusal`] for everything `http-strictness.md` says a proxy must not forward and hyper let through.
pub fn accept(mut head: Parts, client: Arc<Client>) -> Result<Box<Exchange>, Refusal> {
    check_method(&head.method)?;
    if head.uri.scheme().is_none() && head.uri.authority().is_some() {
        // No client can get this past the strict reader: it is the reader's mark for what it refused.
        return Err(client.refused().map_or(bad("bad_target"), |refused| refused.refusal));
    }
    let seen = Seen::scan(&head.headers, client.trust.is_none());
    seen.check_framing(head.version)?;
    names::check(&mut head, &client)?;
    let authority = authority(&head, &seen)?;
    let host = host_of(&authority)?;
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > LONGEST_TARGET {
        return Err(refuse("target_too_long", StatusCode::URI_TOO_LONG));
    }
    let path = NormalPath::parse(head.uri.path()).map_err(|_| bad("bad_path"))?;
    if path.has_encodings() && !client.rules.encoded_characters.allow(path.as_str()) {
        return Err(bad("encoded_character"));
    }
    settle_semicolons(&mut head, client.rules.encode_query_semicolons)?;
    let forwarded_for = client.trust.as_ref().and_then(|trust| trusted_client(trust, &head.headers));
    let upgrade = if seen.upgrade { wanted_upgrade(&head) } else { None };
    if seen.cookies > 1 {
        join_cookies(&mut head);
    }
    hop::strip(&mut head.headers, seen.doomed);
    let (path_rewritten, version) = (path.was_changed(), head.version);
    Ok(Box::new(Exchange {
        head,
        host,
        authority,
        path,
        path_rewritten,
        path_replaced: false,
        client,
        forwarded_for,
        has_body: false,
        expects: seen.expects && version != Version::HTTP_2,
        upgrade,
        response_edits: Vec::new(),
        notes: None,
        attempts: 0,
        body: Sendable::default(),
        route: None,
        service: None,
    }))
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::CONNECT => Err(refuse("connect", StatusCode::NOT_IMPLEMENTED)),
        Method::TRACE => Err(refuse("trace", StatusCode::METHOD_NOT_ALLOWED)),
        _ => Ok(()),
    }
}

/// Whether a request asks about the server itself and not about anything on it.
#[must_use]
pub fn is_about_server(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.uri.path() == "*"
}

fn trusted_client(trust: &Trust, headers: &HeaderMap) -> Option<Box<(IpAddr, HeaderValue)>> {
    let ip = trust.client_of(headers)?;
    HeaderValue::try_from(ip.to_string()).ok().map(|value| Box::new((ip, value)))
}

/// What one pass over the headers found of those that matter here.
#[derive(Default)]
struct Seen {
    host: Option<HeaderValue>,
    hosts: usize,
    codings: usize,
    coding_is_chunked: bool,
    length: bool,
    expects: bool,
    odd_expectation: bool,
    upgrade: bool,
    cookies: usize,
    /// To be removed before anybody sees the request.
    doomed: Vec<HeaderName>,
}

impl Seen {
    /// `untrusted` clients may not say where a request came from.
    fn scan(headers: &HeaderMap, untrusted: bool) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                seen.host = Some(value.clone());
                seen.hosts += 1;
            } else if *name == CONTENT_LENGTH {
                seen.length = true;
            } else if *name == COOKIE {
                seen.cookies += 1;
            } else if *name == EXPECT {
                // hyper answers it by itself, once the body is asked for.
                seen.expects = true;
                seen.odd_expectation |= !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                seen.doomed.push(name.clone());
            } else if hop::is_hop_by_hop(name) {
                seen.note_hop_by_hop(name, value);
            } else if untrusted && forwarded::is_forwarding(name.as_str()) {
                seen.doomed.push(name.clone());
            }
        }
        seen
    }

    fn note_hop_by_hop(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == TRANSFER_ENCODING {
            self.codings += 1;
            self.coding_is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        }
        self.upgrade |= *name == UPGRADE;
        if !self.doomed.contains(name) {
            self.doomed.push(name.clone());
        }
    }

    /// What hyper resolves by itself or passes on, and a strict proxy refuses.
    fn check_framing(&self, version: Version) -> Result<(), Refusal> {
        if self.odd_expectation {
            return Err(refuse("bad_expectation", StatusCode::EXPECTATION_FAILED));
        }
        if self.codings == 0 || version == Version::HTTP_2 {
            return Ok(());
        }
        if version == Version::HTTP_10 || self.length || self.codings > 1 {
            return Err(bad("bad_transfer_encoding"));
        }
        if self.coding_is_chunked {
            Ok(())
        } else {
            Err(refuse("unknown_transfer_encoding", StatusCode::NOT_IMPLEMENTED))
        }
    }
}

/// The authority a request is for: of its target if that has one, else of its only Host header.
fn authority(head: &Parts, seen: &Seen) -> Result<HeaderValue, Refusal> {
    if seen.hosts > 1 {
        return Err(bad("duplicate_host"));
    }
    let value = match (head.uri.authority(), &seen.host) {
        // Only HTTP/2 has no need of the header.
        (Some(_), None) if head.version == Version::HTTP_11 => return Err(bad("missing_host")),
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map_err(|_| bad("bad_host"))?,
        (None, Some(host)) => host.clone(),
        (None, None) if head.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err(bad("missing_host")),
    };
    if value.is_empty() && head.version != Version::HTTP_10 {
        return Err(bad("bad_host"));
    }
    Ok(value)
}

/// The host alone, lower-cased, for routing.
pub(super) fn host_of(authority: &HeaderValue) -> Result<String, Refusal> {
    let text = authority.to_str().map_err(|_| bad("bad_host"))?;
    let name = if let Some(inside) = text.strip_prefix('[') {
        let (address, port) = inside.split_once(']').ok_or(bad("bad_host"))?;
        std::net::Ipv6Addr::from_str(address).map_err(|_| bad("bad_host"))?;
        check_port(port)?;
        address
    } else {
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        check_port(port)?;
        name
    };
    if !name.bytes().all(is_in_host) {
        return Err(bad("bad_host"));
    }
    if name.is_empty() && !text.is_empty() {
        return Err(bad("bad_host"));
    }
    Ok(name.to_ascii_lowercase())
}

/// `port` is what follows the host: nothing, or `:` and a number.
fn check_port(port: &str) -> Result<(), Refusal> {
    if port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
    {
        return Ok(());
    }
    Err(bad("bad_host"))
}

/// A `;` in a query separates parameters for some servers and belongs to a value for others. Everybody from here on sees
/// what the entrypoint takes it for.
fn settle_semicolons(head: &mut Parts, encode: bool) -> Result<(), Refusal> {
    let Some(query) = head.uri.query().filter(|query| query.contains(';')) else { return Ok(()) };
    let settled = query.replace(';', if encode { "%3B" } else { "&" });
    let target = with_query(head.uri.path(), Some(&settled));
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| bad("bad_target"))?);
    head.uri = Uri::from_parts(parts).map_err(|_| bad("bad_target"))?;
    Ok(())
}

/// HTTP/2 may split cookies into several fields; HTTP/1.1 servers expect one (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    let crumbs: Vec<&[u8]> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        head.headers.insert(COOKIE, joined);
    }
}

/// The protocol an `Upgrade` asks for, where `Connection` confirms it. `h2c` is not one to pass through.
fn wanted_upgrade(head: &Parts) -> Option<HeaderValue> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    let protocol = head.headers.get(UPGRADE)?;
    let confirmed = head.headers.get_all(CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    (confirmed && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| protocol.clone())
}

#[cfg(test)]
#[path = "ingress_tests.rs"]
mod tests;
