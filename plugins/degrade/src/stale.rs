//! Good answers, kept within bounds for when there are none.
//!
//! Only what anybody may see is kept: answers to GET without credentials that are marked as cacheable by everyone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::Kv;
use sluice_plugin_sdk::policy::{Field, Reply, clock, exchange};

/// Headers that are kept with a body.
const KEPT: [&str; 5] = ["content-type", "content-encoding", "content-language", "etag", "last-modified"];

/// How answers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    /// Older ones are not given any more.
    pub(crate) bound: Duration,
    pub(crate) max_body: u64,
    /// Keep what is not marked, too.
    pub(crate) unmarked: bool,
}

/// What is kept before the body, as JSON on a line.
#[derive(Deserialize, Serialize)]
struct Head {
    status: u16,
    at_ms: u64,
    headers: Vec<(String, String)>,
}

impl Stale {
    /// Keeps an answer, if it may be.
    pub(crate) fn keep(&self, status: u16, body: &[u8]) {
        let Some(key) = key().filter(|_| status == 200 && self.may_be_kept()) else { return };
        let value = |name: &str| Some((name.to_owned(), exchange::response_header(name)?));
        let head = Head { status, at_ms: clock::wall_ms(), headers: KEPT.into_iter().filter_map(value).collect() };
        let Ok(mut entry) = serde_json::to_vec(&head) else { return };
        entry.push(b'\n');
        entry.extend_from_slice(body);
        if let Err(reason) = Kv::set(&key, &entry, Some(self.bound)) {
            log::debug(&format!("an answer is not kept: {reason}"));
        }
    }

    /// The answer that was kept for this request.
    pub(crate) fn find(&self) -> Option<Reply> {
        let entry = Kv::get(&key()?)?;
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = entry.split_at_checked(end)?;
        let Head { status, at_ms, headers } = serde_json::from_slice(head).ok()?;
        let age = Duration::from_millis(clock::wall_ms().saturating_sub(at_ms));
        if age > self.bound {
            return None;
        }
        let reply = Reply { status, headers: Vec::new(), body: body.get(1..)?.to_vec() };
        let reply = headers.into_iter().fold(reply, |reply, (name, value)| reply.with_header(name, value));
        Some(reply.with_header("Age", age.as_secs().to_string()).with_header("Warning", r#"110 - "Response is Stale""#))
    }

    fn may_be_kept(&self) -> bool {
        if exchange::response_header("set-cookie").is_some() || exchange::response_header("vary").is_some_and(varies) {
            return false;
        }
        let control = exchange::response_header("cache-control").unwrap_or_default().to_ascii_lowercase();
        let says = |word: &str| control.split(',').any(|part| part.trim().split('=').next() == Some(word));
        if says("no-store") || says("private") {
            return false;
        }
        self.unmarked || says("public") || says("max-age") || says("s-maxage")
    }
}

/// Encodings are part of the key.
fn varies(header: String) -> bool {
    !header.split(',').all(|name| name.trim().is_empty() || name.trim().eq_ignore_ascii_case("accept-encoding"))
}

/// What an answer is kept under; `None` for requests whose answers are not.
fn key() -> Option<String> {
    let field = |field: Field| exchange::request_field(&field);
    let header = |name: &str| field(Field::Header(name.to_owned()));
    if field(Field::Method)? != "GET" || header("authorization").is_some() || header("cookie").is_some() {
        return None;
    }
    let encoding = header("accept-encoding").unwrap_or_default();
    let (host, path, query) = (field(Field::Host)?, field(Field::Path)?, field(Field::Query).unwrap_or_default());
    Some(format!("stale {host}{path}?{query} {encoding}"))
}
