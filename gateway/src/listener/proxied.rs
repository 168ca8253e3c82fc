//! The PROXY protocol, versions 1 and 2: a load balancer in front says who the client is, before the client's first
//! byte. Only peers the entrypoint names may, and they have to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Entrypoint;

/// The longest header of version 2 that is waited for; it has no use for more without TLS certificates in it.
const MOST: usize = 4 * 1024;
/// The longest header of version 1, by its definition.
const MOST_TEXT: usize = 107;
/// How long to wait before looking again at a header that came in part.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Who is on the other side, once the header is taken off the stream.
///
/// # Errors
/// There is no header, it is broken, or it does not come in time.
pub(super) async fn client(stream: &TcpStream, peer: SocketAddr, entrypoint: &Entrypoint) -> io::Result<SocketAddr> {
    if !entrypoint.proxies.includes(peer.ip()) {
        return Ok(peer);
    }
    timeout(entrypoint.timeouts.header, take(stream, peer)).await?
}

async fn take(stream: &TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut bytes = vec![0; MOST];
    let mut seen_before = 0;
    loop {
        stream.readable().await?;
        let seen = stream.peek(&mut bytes).await?;
        let parsed = HeaderResult::parse(bytes.get(..seen).unwrap_or_default());
        if parsed.is_complete() {
            let (len, client) = read(&parsed).ok_or(io::ErrorKind::InvalidData)?;
            bytes.truncate(len);
            // The bytes are here already.
            return if stream.try_read(&mut bytes)? == len {
                Ok(client.unwrap_or(peer))
            } else {
                Err(io::ErrorKind::InvalidData.into())
            };
        }
        let most = if matches!(parsed, HeaderResult::V1(_)) { MOST_TEXT } else { MOST };
        if seen == 0 || seen >= most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if seen == seen_before {
            // Peeked bytes keep the socket readable, so there is nothing to wait for but time.
            tokio::time::sleep(LOOK).await;
        }
        seen_before = seen;
    }
}

/// The length of a header, and the client it names if it names one.
fn read(parsed: &HeaderResult<'_>) -> Option<(usize, Option<SocketAddr>)> {
    match parsed {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(ip) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
                v1::Addresses::Tcp6(ip) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
                v1::Addresses::Unknown => None,
            };
            Some((header.header.len(), client))
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match header.addresses {
                // The load balancer itself asks, as for its health checks.
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(ip) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
                v2::Addresses::IPv6(ip) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
            };
            Some((header.len(), client))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn client_in(bytes: &[u8]) -> Option<(usize, Option<String>)> {
        let parsed = HeaderResult::parse(bytes);
        read(&parsed).map(|(len, client)| (len, client.map(|client| client.to_string())))
    }

    #[test]
    fn both_versions_name_the_client() {
        let text = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\nGET";
        assert_eq!(client_in(text), Some((text.len() - 3, Some("1.2.3.4:1000".to_owned()))));
        assert_eq!(client_in(b"PROXY UNKNOWN\r\n"), Some((15, None)));
        assert_eq!(client_in(b"GET / HTTP/1.1\r\n"), None);
        let binary = |command: u8| {
            let head = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x20 | command, 0x11, 0, 12]].concat();
            [&head[..], &[1, 2, 3, 4, 5, 6, 7, 8, 3, 232, 0, 80], b"GET"].concat()
        };
        assert_eq!(client_in(&binary(1)), Some((28, Some("1.2.3.4:1000".to_owned()))));
        assert_eq!(client_in(&binary(0)), Some((28, None)));
    }

    #[test]
    fn what_may_still_become_a_header_is_waited_for() {
        for part in [b"PR".as_slice(), b"PROXY TCP4 1.2", b"\r\n\r\n\0"] {
            assert!(HeaderResult::parse(part).is_incomplete(), "{part:?}");
        }
    }
}
