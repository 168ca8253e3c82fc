//! Which answers are sent in a shorter coding, and in which one. The coding itself is done in [`crate::proxy::compress`].

use std::sync::Arc;

use hyper::Method;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, VARY,
};
use hyper::http::response;

use crate::http::Exchange;
use crate::live::native::{Coding, Compress, Native};
use crate::upstream::AnswerBody;

/// What is left to do with the answer.
pub(in super::super) struct Leave {
    /// A step of this kind.
    step: Arc<Native>,
    /// What the client takes.
    coding: Option<Coding>,
}

/// Looks at what the client takes.
pub(super) fn enter(wanted: &Compress, step: &Arc<Native>, exchange: &Exchange) -> Leave {
    let coding = match exchange.head.method {
        Method::HEAD => None,
        _ => negotiate(wanted, &exchange.head.headers),
    };
    Leave { step: Arc::clone(step), coding }
}

impl Leave {
    pub(super) fn apply(&self, head: &mut response::Parts, body: Option<&AnswerBody>) -> Option<Coding> {
        let (Native::Compress(wanted), Some(body)) = (&*self.step, body) else { return None };
        if !may_be_changed(head) || !is_wanted_type(wanted, &head.headers) {
            return None;
        }
        head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        let coding = self.coding.filter(|_| !is_short(wanted, body))?;
        announce(coding, &mut head.headers);
        Some(coding)
    }
}

/// The coding the client likes best, of those it likes equally the first one listed.
fn negotiate(wanted: &Compress, headers: &HeaderMap) -> Option<Coding> {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return wanted.default;
    }
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<_> = values.flat_map(|value| value.split(',')).filter_map(weighted).collect();
    let weight =
        |name: &str| accepted.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
    let others = weight("*").unwrap_or(0);
    let weight_of = |coding: Coding| weight(coding.as_str()).unwrap_or(others);
    // The default one goes first where the client leaves the choice to us.
    let leaves_open = others > 0 && wanted.codings.iter().all(|coding| weight(coding.as_str()).is_none());
    let preferred = wanted.default.filter(|_| leaves_open);
    let listed = preferred.into_iter().chain(wanted.codings.iter().copied());
    listed.rev().filter(|coding| weight_of(*coding) > 0).max_by_key(|coding| weight_of(*coding))
}

/// `gzip;q=0.5` as a name and thousandths.
fn weighted(item: &str) -> Option<(&str, u32)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let thousandths = match quality.map(str::parse::<f32>) {
        None => 1000,
        Some(Ok(quality)) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u32,
        Some(_) => 0,
    };
    Some((name, thousandths))
}

/// Whether the body is the whole thing, in no coding yet, and nobody said to leave it alone.
fn may_be_changed(head: &response::Parts) -> bool {
    let headers = &head.headers;
    let has_body =
        !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    let may_be_touched = headers.get_all(CACHE_CONTROL).iter().all(|value| {
        !value.to_str().is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-transform")))
    });
    has_body && is_plain && may_be_touched && !headers.contains_key(CONTENT_RANGE)
}

/// Streams of events and gRPC messages must not wait for a coding to fill.
fn is_wanted_type(wanted: &Compress, headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let found = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if found == "text/event-stream" || found.starts_with("application/grpc") {
        return false;
    }
    if wanted.included.is_empty() { !wanted.excluded.contains(&found) } else { wanted.included.contains(&found) }
}

fn is_short(wanted: &Compress, body: &AnswerBody) -> bool {
    body.is_end_stream() || body.size_hint().exact().is_some_and(|length| length < wanted.min_bytes)
}

/// What no longer holds of the head goes; a strong validator becomes a weak one.
fn announce(coding: Coding, headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    let weak = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    if let Some(weak) = weak.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()) {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use hyper::Response;

    use super::*;

    fn step(codings: &[Coding], default: Option<Coding>) -> Compress {
        Compress { codings: codings.to_vec(), default, excluded: Vec::new(), included: Vec::new(), min_bytes: 0 }
    }

    fn chosen(accepted: Option<&'static str>, default: Option<Coding>) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        if let Some(accepted) = accepted {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        }
        negotiate(&step(&[Coding::Gzip, Coding::Brotli, Coding::Zstd], default), &headers)
    }

    #[test]
    fn the_client_chooses_and_the_list_settles_ties() {
        for (accepted, wanted) in [
            (None, None),
            (Some(""), None),
            (Some("identity"), None),
            (Some("deflate"), None),
            (Some("gzip, br"), Some(Coding::Gzip)),
            (Some("br, gzip"), Some(Coding::Gzip)),
            (Some("gzip;q=0.5, br;q=0.8"), Some(Coding::Brotli)),
            (Some("gzip;q=0, *;q=0.1"), Some(Coding::Brotli)),
            (Some("GZIP ; Q=1"), Some(Coding::Gzip)),
            (Some("gzip;q=2"), None),
            (Some("*"), Some(Coding::Gzip)),
            (Some("*;q=0"), None),
            (Some("zstd"), Some(Coding::Zstd)),
        ] {
            assert_eq!(chosen(accepted, None), wanted, "{accepted:?}");
        }
    }

    #[test]
    fn the_default_is_for_clients_that_leave_it_open() {
        assert_eq!(chosen(None, Some(Coding::Zstd)), Some(Coding::Zstd));
        assert_eq!(chosen(Some("*"), Some(Coding::Zstd)), Some(Coding::Zstd));
        assert_eq!(chosen(Some("gzip"), Some(Coding::Zstd)), Some(Coding::Gzip));
        assert_eq!(chosen(Some(""), Some(Coding::Zstd)), None);
    }

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_partial_coded_or_not_to_be_touched_stays() {
        assert!(may_be_changed(&head(200, &[("content-encoding", "identity")])));
        for (status, headers) in [
            (204, &[][..]),
            (206, &[]),
            (304, &[]),
            (200, &[("content-encoding", "br")]),
            (200, &[("cache-control", "public, No-Transform")]),
            (200, &[("content-range", "bytes 0-1/2")]),
        ] {
            assert!(!may_be_changed(&head(status, headers)), "{status} {headers:?}");
        }
    }

    #[test]
    fn types_are_excluded_or_included() {
        let of = |wanted: &Compress, kind: &'static str| {
            is_wanted_type(wanted, &HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        let all = step(&[Coding::Gzip], None);
        assert!(of(&all, "text/html") && is_wanted_type(&all, &HeaderMap::new()));
        assert!(!of(&all, "text/event-stream; x=y") && !of(&all, "application/grpc+proto"));
        let some = Compress { excluded: vec!["image/png".into()], ..step(&[Coding::Gzip], None) };
        assert!(!of(&some, "Image/PNG") && of(&some, "text/html"));
        let few = Compress { included: vec!["text/html".into()], ..step(&[Coding::Gzip], None) };
        assert!(of(&few, "text/html; charset=utf-8") && !of(&few, "text/css"));
    }

    #[test]
    fn the_head_says_what_is_sent() {
        let mut changed = head(200, &[("content-length", "5"), ("etag", "\"a\""), ("accept-ranges", "bytes")]).headers;
        announce(Coding::Brotli, &mut changed);
        assert_eq!(
            (&changed["content-encoding"], &changed["etag"]),
            (&"br".parse().unwrap(), &"W/\"a\"".parse().unwrap())
        );
        assert!(!changed.contains_key(CONTENT_LENGTH) && !changed.contains_key(ACCEPT_RANGES));
    }
}
