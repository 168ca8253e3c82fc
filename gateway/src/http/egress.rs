//! The egress normaliser: the last look at a request before it goes upstream, and at a response before it goes to the
//! client.

use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::http::{Version, response};

use super::exchange::Exchange;
use super::forwarded::Forwarding;
use super::hop;
use super::notes::HeaderEdit;

/// Turns the exchange's head into what the upstream gets, but for what is answered: it is yet to be added to the head, or
/// written behind it. `host` replaces the client's Host header where the service does not pass it; `server` is this
/// gateway's name.
#[must_use]
pub fn finish_request(exchange: &mut Exchange, host: Option<&HeaderValue>, server: &HeaderValue) -> Forwarding {
    let forwarding = Forwarding::of(exchange, server);
    let authority = host.unwrap_or(&exchange.authority).clone();
    let head = &mut exchange.head;
    head.headers.insert(HOST, authority);
    if let Some(protocol) = &exchange.upgrade {
        head.headers.insert(UPGRADE, protocol.clone());
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    head.version = Version::HTTP_11;
    set_target(head, exchange.path_rewritten, exchange.path.as_str());
    forwarding
}

/// Brings the target into origin form, with the path as the steps left it. `http://a?b` has none of its own.
fn set_target(head: &mut Parts, rewritten: bool, path: &str) {
    let target = match head.uri.path_and_query() {
        Some(target) if !rewritten && !target.as_str().starts_with('?') => Some(target.clone()),
        _ => PathAndQuery::try_from(with_query(path, head.uri.query())).ok(),
    };
    head.uri = target.map_or_else(Uri::default, Uri::from);
}

/// A path with the query it came with.
pub fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Cleans an upstream's response head and applies what policies asked for. `switching` keeps the headers of an accepted
/// upgrade.
pub fn finish_response(head: &mut response::Parts, exchange: &mut Exchange, switching: bool) {
    let doomed = hop::of_response(&head.headers);
    hop::strip(&mut head.headers, doomed);
    if switching && let Some(protocol) = &exchange.upgrade {
        head.headers.insert(UPGRADE, protocol.clone());
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    for edit in exchange.response_edits.drain(..) {
        match edit {
            HeaderEdit::Set(name, value) => drop(head.headers.insert(name, value)),
            HeaderEdit::Add(name, value) => drop(head.headers.append(name, value)),
            HeaderEdit::Remove(name) => drop(head.headers.remove(name)),
        }
    }
    head.version = Version::HTTP_11;
}
