//! The `X-Forwarded-*` family: what the upstream learns about the client and the way the request took.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::exchange::{Client, Exchange};

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

/// What the gateway adds to a request: where it came from, and which way it took. What an untrusted client sent of it is
/// gone already; what steps, policies and trusted peers wrote stays, but for the chain of addresses, which grows.
#[derive(Clone, Debug)]
pub struct Forwarding {
    client: Arc<Client>,
    authority: HeaderValue,
    scheme: &'static str,
    server: HeaderValue,
}

/// Which headers of the family a request has already.
#[derive(Debug, Default)]
pub struct Present {
    chain: bool,
    real_ip: bool,
    proto: bool,
    port: bool,
    host: bool,
}

impl Forwarding {
    /// Of an exchange, as it stands now; `server` is this gateway's name.
    pub(super) fn of(exchange: &Exchange, server: &HeaderValue) -> Self {
        let protocol = exchange.upgrade.as_ref();
        let websocket = protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let scheme = match (exchange.client.is_tls(), websocket) {
            (false, false) => "http",
            (true, false) => "https",
            (false, true) => "ws",
            (true, true) => "wss",
        };
        let (client, authority) = (Arc::clone(&exchange.client), exchange.authority.clone());
        Self { client, authority, scheme, server: server.clone() }
    }

    /// Adds it to a head.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        let mut present = Present::default();
        for name in headers.keys() {
            present.note(name.as_str());
        }
        let mut added = HeaderMap::with_capacity(6);
        self.each(headers, &present, |name, value| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                added.insert(HeaderName::from_static(name), value);
            }
        });
        headers.extend(added);
    }

    /// Gives each header that has to be added to `headers`, in which `present` were found. Those that `present` wants
    /// left out take the place of what is there.
    pub fn each(&self, headers: &HeaderMap, present: &Present, mut put: impl FnMut(&'static str, &[u8])) {
        let ip = self.client.ip_value.as_bytes();
        match present.chain {
            true => put("x-forwarded-for", &chain(headers, ip)),
            false => put("x-forwarded-for", ip),
        }
        let fields = [
            (present.real_ip, "x-real-ip", ip),
            (present.proto, "x-forwarded-proto", self.scheme.as_bytes()),
            (present.port, "x-forwarded-port", port_of(self.authority.as_bytes(), self.client.is_tls())),
            (present.host, "x-forwarded-host", self.authority.as_bytes()),
            (false, "x-forwarded-server", self.server.as_bytes()),
        ];
        for (_, name, value) in fields.into_iter().filter(|(is_there, ..)| !is_there) {
            put(name, value);
        }
    }
}

impl Present {
    /// Takes note of a header; answers whether it is to be left out, because it is written anew.
    pub fn note(&mut self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix("x-") else { return false };
        match rest {
            "forwarded-for" => self.chain = true,
            "forwarded-server" => return true,
            "real-ip" => self.real_ip = true,
            "forwarded-proto" => self.proto = true,
            "forwarded-port" => self.port = true,
            "forwarded-host" => self.host = true,
            _ => {}
        }
        rest == "forwarded-for"
    }
}

/// Writes down which host the client asked for, unless that was done before.
pub(super) fn keep_host(exchange: &mut Exchange) {
    let headers = &mut exchange.head.headers;
    let port = port_of(exchange.authority.as_bytes(), exchange.client.is_tls());
    let port = HeaderValue::from_bytes(port).unwrap_or(HeaderValue::from_static("80"));
    headers.entry(PORT).or_insert(port);
    headers.entry(HOST).or_insert_with(|| exchange.authority.clone());
}

/// The addresses a request has come by, this peer's last.
fn chain(headers: &HeaderMap, ip: &[u8]) -> Vec<u8> {
    let before = headers.get_all(FOR).iter().map(HeaderValue::as_bytes);
    before.chain([ip]).collect::<Vec<_>>().join(&b", "[..])
}

/// The port in the Host header, else the scheme's own.
fn port_of(authority: &[u8], tls: bool) -> &[u8] {
    let own: &[u8] = if tls { b"443" } else { b"80" };
    let after_address = authority.rsplit(|byte| *byte == b']').next().unwrap_or_default();
    let mut parts = after_address.rsplitn(2, |byte| *byte == b':');
    match (parts.next(), parts.next()) {
        (Some(port), Some(_)) if !port.is_empty() => port,
        _ => own,
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
        let port = |authority: &'static str, tls| std::str::from_utf8(port_of(authority.as_bytes(), tls)).unwrap_or("");
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
