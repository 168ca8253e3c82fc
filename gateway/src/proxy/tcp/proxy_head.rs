//! What tells a target who the client is, before the client's own bytes: the PROXY protocol as haproxy defines it.

use std::net::{IpAddr, SocketAddr};

use sluice_model::tcp::ProxyProtocol;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Empty where the target is told nothing.
pub(super) fn bytes(version: ProxyProtocol, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, local) = (canonical(client), canonical(local));
    match version {
        ProxyProtocol::None => Vec::new(),
        ProxyProtocol::V1 => v1(client, local).into_bytes(),
        ProxyProtocol::V2 => v2(client, local),
    }
}

fn v1(client: SocketAddr, local: SocketAddr) -> String {
    let family = match (client.ip(), local.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {} {} {} {}\r\n", client.ip(), local.ip(), client.port(), local.port())
}

fn v2(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::new();
    // Version 2, command PROXY; then family and transport.
    let family = match (client.ip(), local.ip()) {
        (IpAddr::V4(client), IpAddr::V4(local)) => {
            addresses.extend(client.octets().into_iter().chain(local.octets()));
            0x11
        }
        (IpAddr::V6(client), IpAddr::V6(local)) => {
            addresses.extend(client.octets().into_iter().chain(local.octets()));
            0x21
        }
        _ => 0x00,
    };
    if family != 0 {
        addresses.extend(client.port().to_be_bytes().into_iter().chain(local.port().to_be_bytes()));
    }
    let length = u16::try_from(addresses.len()).unwrap_or(0).to_be_bytes();
    [SIGNATURE.as_slice(), &[0x21, family], &length, &addresses].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_name_both_ends() {
        let (client, local) = (SocketAddr::from(([10, 0, 0, 9], 4000)), SocketAddr::from(([127, 0, 0, 1], 443)));
        let text = |version| bytes(version, client, local);
        assert_eq!(text(ProxyProtocol::None), b"");
        assert_eq!(text(ProxyProtocol::V1), b"PROXY TCP4 10.0.0.9 127.0.0.1 4000 443\r\n");
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x09\x7f\x00\x00\x01\x0f\xa0\x01\xbb";
        assert_eq!(text(ProxyProtocol::V2), expected);
        let (client, local): (SocketAddr, SocketAddr) =
            (([0, 0, 0, 0, 0, 0, 0, 1], 1).into(), ([0, 0, 0, 0, 0, 0, 0, 2], 2).into());
        assert_eq!(bytes(ProxyProtocol::V1, client, local), b"PROXY TCP6 ::1 ::2 1 2\r\n");
        assert_eq!(bytes(ProxyProtocol::V2, client, local).len(), 16 + 36);
    }
}
