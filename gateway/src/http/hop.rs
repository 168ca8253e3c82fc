//! Hop-by-hop headers: what concerns one connection and is never passed on (RFC 9110 section 7.6.1).

use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// Removes the hop-by-hop headers among `doomed`, what `Connection` nominates, and whatever else is `doomed`.
pub(super) fn strip(headers: &mut HeaderMap, doomed: Vec<HeaderName>) {
    if doomed.is_empty() {
        return;
    }
    let trailers = doomed.contains(&TE) && accepts_trailers(headers);
    if doomed.contains(&CONNECTION) {
        remove_nominated(headers);
    }
    for name in doomed {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// The hop-by-hop headers of a response. `Trailer` stays: it announces what is passed on after the body.
pub(super) fn of_response(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.keys().filter(|name| is_hop_by_hop(name) && **name != TRAILER).cloned().collect()
}

pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == TE
        || *name == TRAILER
        || *name == PROXY_AUTHENTICATE
        || *name == PROXY_AUTHORIZATION
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

/// `Connection` may nominate a sender's own headers, not those the gateway vouches for or the exchange depends on.
fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> =
        tokens(headers, &CONNECTION).filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
    for name in nominated {
        if !is_protected(name.as_str()) {
            headers.remove(name);
        }
    }
}

fn is_protected(name: &str) -> bool {
    super::forwarded::is_forwarding(name)
        || matches!(
            name,
            "host"
                | "via"
                | "authorization"
                | "cookie"
                | "content-length"
                | "content-type"
                | "content-encoding"
                | "traceparent"
                | "tracestate"
                | "te"
        )
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let doomed = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
        strip(&mut headers, doomed);
        headers
    }

    #[test]
    fn hop_by_hop_and_nominated_headers_go() {
        let headers = stripped(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("x-kept", "1"),
        ]);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-kept"]);
    }

    #[test]
    fn headers_the_gateway_vouches_for_cannot_be_nominated_away() {
        let headers = stripped(&[
            ("connection", "x-forwarded-for, Host, authorization"),
            ("x-forwarded-for", "1"),
            ("host", "a"),
            ("authorization", "b"),
        ]);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn te_trailers_survives() {
        assert_eq!(stripped(&[("te", "gzip, trailers")]).get(TE), Some(&HeaderValue::from_static("trailers")));
    }
}
