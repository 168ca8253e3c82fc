//! The `X-Forwarded-*` family: what the upstream learns about the client and the way the request took.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::exchange::Exchange;

/// Whose forwarding headers are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Peers in these ranges; nobody by default.
    pub ranges: Vec<IpNet>,
}

impl Trust {
    /// Whether this peer may say where a request came from.
    #[must_use]
    pub fn includes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.ranges.iter().any(|range| range.contains(&peer))
    }
}

impl Trust {
    /// Who a request comes from, as the `X-Forwarded-For` of a trusted peer tells: the last address in it that is not
    /// itself trusted, since everything before could have been made up.
    pub(super) fn client_of(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<&HeaderValue> = headers.get_all(FOR).iter().collect();
        let mut last = None;
        for entry in lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            // Whoever is named behind something unreadable is the best there is.
            let Some(ip) = address(entry) else { break };
            last = Some(ip);
            if !self.includes(ip) {
                break;
            }
        }
        last
    }
}

/// An address, perhaps with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<std::net::SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether only trusted peers may send this header. Underscore spellings count as well: some servers cannot tell
/// them apart.
pub(super) fn is_forwarding(name: &str) -> bool {
    if !name.starts_with(['x', 'f']) {
        return false;
    }
    let rest = match name.as_bytes() {
        [b'x', b'-' | b'_', rest @ ..] => rest,
        b"forwarded" => return true,
        _ => return false,
    };
    let same = |want: &str| {
        rest.len() == want.len()
            && rest.iter().zip(want.bytes()).all(|(have, want)| *have == want || (*have == b'_' && want == b'-'))
    };
    match rest.first() {
        Some(b'd') => same("degrade-level"),
        Some(b's') => matches!(rest, [b's', b'l', b'u', b'i', b'c', b'e', b'-' | b'_', ..]),
        Some(b'r') => same("real-ip") || same("replaced-path"),
        Some(b'f') => [
            "forwarded-for",
            "forwarded-host",
            "forwarded-port",
            "forwarded-proto",
            "forwarded-server",
            "forwarded-uri",
            "forwarded-method",
            "forwarded-prefix",
            "forwarded-tls-client-cert",
            "forwarded-tls-client-cert-info",
            "forwarded-tls-client-cert-infos",
        ]
        .into_iter()
        .any(same),
        _ => false,
    }
}

/// Whether a header with an unusual name would be taken for one the gateway vouches for, or for one that frames the
/// message, by a server that cannot tell `_` or other characters from `-`.
pub(super) fn is_twin(name: &str) -> bool {
    let plain: String = name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    is_forwarding(&plain) || matches!(plain.as_str(), "content-length" | "transfer-encoding" | "proxy-authorization")
}

/// Adds the family to a request. What an untrusted client sent of it is gone already.
pub(super) fn add(exchange: &mut Exchange, server: &HeaderValue) {
    let client = &exchange.client;
    let headers = &mut exchange.head.headers;
    // Those below, Host, and what an upgrade needs: one growth instead of two or three.
    headers.reserve(9);
    let chain = match headers.get(FOR) {
        Some(before) => append(before, &client.ip_value),
        None => client.ip_value.clone(),
    };
    headers.insert(FOR, chain);
    set_if_absent(headers, REAL_IP, || client.ip_value.clone());
    let websocket =
        exchange.upgrade.as_ref().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    set_if_absent(headers, PROTO, || {
        HeaderValue::from_static(match (client.is_tls(), websocket) {
            (false, false) => "http",
            (true, false) => "https",
            (false, true) => "ws",
            (true, true) => "wss",
        })
    });
    keep_host(exchange);
    exchange.head.headers.insert(SERVER, server.clone());
}

/// Writes down which host the client asked for, unless that was done before.
pub(super) fn keep_host(exchange: &mut Exchange) {
    let headers = &mut exchange.head.headers;
    set_if_absent(headers, PORT, || port_of(&exchange.authority, exchange.client.is_tls()));
    set_if_absent(headers, HOST, || exchange.authority.clone());
}

fn set_if_absent(headers: &mut HeaderMap, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
    headers.entry(name).or_insert_with(value);
}

fn append(before: &HeaderValue, ip: &HeaderValue) -> HeaderValue {
    let joined = [before.as_bytes(), b", ", ip.as_bytes()].concat();
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| ip.clone())
}

/// The port in the Host header, else the scheme's own.
fn port_of(authority: &HeaderValue, tls: bool) -> HeaderValue {
    let text = authority.to_str().unwrap_or_default();
    let after_address = text.rsplit_once(']').map_or(text, |(_, rest)| rest);
    match after_address.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() => HeaderValue::from_str(port).unwrap_or(HeaderValue::from_static("80")),
        _ if tls => HeaderValue::from_static("443"),
        _ => HeaderValue::from_static("80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_known_in_both_spellings() {
        for name in ["x-forwarded-for", "x_forwarded_for", "x-forwarded_prefix", "x-real-ip", "x_real_ip", "forwarded"]
        {
            assert!(is_forwarding(name), "{name}");
        }
        for name in ["x-degrade-level", "x_degrade_level", "x-sluice-any", "x_sluice_any"] {
            assert!(is_forwarding(name), "{name}");
        }
        for name in ["x-forwarded", "x-forwarded-foo", "x-request-id", "forwarded-by", "x", "from", ""] {
            assert!(!is_forwarding(name), "{name}");
        }
    }

    #[test]
    fn ports_come_from_the_host_or_the_scheme() {
        let port = |authority: &'static str, tls| port_of(&HeaderValue::from_static(authority), tls);
        assert_eq!(port("h.test:8080", false), "8080");
        assert_eq!(port("[::1]:81", false), "81");
        assert_eq!(port("[::1]", true), "443");
        assert_eq!(port("h.test", false), "80");
    }

    #[test]
    fn the_client_is_the_last_one_nobody_vouches_for() {
        let trust = Trust { ranges: vec!["10.0.0.0/8".parse().unwrap_or_default()] };
        let client = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FOR, HeaderValue::from_static(line));
            }
            trust.client_of(&headers).map(|ip| ip.to_string())
        };
        assert_eq!(client(&["1.1.1.1, 2.2.2.2, 10.0.0.1"]).as_deref(), Some("2.2.2.2"));
        assert_eq!(client(&["1.1.1.1", "2.2.2.2:443,10.0.0.1", "10.0.0.2"]).as_deref(), Some("2.2.2.2"));
        assert_eq!(client(&["10.0.0.3, 10.0.0.2"]).as_deref(), Some("10.0.0.3"));
        assert_eq!(client(&["1.1.1.1, unknown, 10.0.0.2"]).as_deref(), Some("10.0.0.2"));
        assert_eq!((client(&["unknown"]), client(&[])), (None, None));
    }

    #[test]
    fn trust_looks_through_mapped_addresses() {
        let trust = Trust { ranges: vec!["10.0.0.0/8".parse().unwrap_or_default()] };
        assert!(trust.includes(std::net::Ipv4Addr::new(10, 1, 1, 1).to_ipv6_mapped().into()));
        assert!(!trust.includes([11, 1, 1, 1].into()));
        assert!(!Trust::default().includes([127, 0, 0, 1].into()));
    }
}
