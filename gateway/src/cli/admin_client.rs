//! One request to the admin API of a running gateway. A connection for each needs no HTTP client.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longer than this is not healthy; Docker's own limit is 30 s, Keepalived's is its interval.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More than the routes of any gateway.
const MOST_BYTES: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("`{0}` is not the URL of an admin API; write such as http://127.0.0.1:8080")]
    Url(String),
    #[error("asking {0}: {1}")]
    Io(String, io::Error),
}

/// What the gateway said.
#[derive(Debug)]
pub(super) struct Answer {
    /// Such as `HTTP/1.1 200 OK`.
    pub(super) status_line: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        self.status_line.split(' ').nth(1) == Some("200")
    }
}

/// Asks for `target` at the admin API at `url`.
pub(super) fn get(url: &str, token: Option<&str>, target: &str) -> Result<Answer, AskError> {
    let address = address(url).ok_or_else(|| AskError::Url(url.to_owned()))?;
    let answer = request(address, token, target).map_err(|error| AskError::Io(url.to_owned(), error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status_line = head.lines().next().unwrap_or_default().trim().to_owned();
    Ok(Answer { status_line, body: body.to_owned() })
}

/// `host:port` of a plain URL.
fn address(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let address = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty() && !address.contains('/') && port.parse::<u16>().is_ok()).then_some(address)
}

fn request(address: &str, token: Option<&str>, target: &str) -> io::Result<String> {
    let mut failure = io::Error::other("the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, TIMEOUT) {
            Ok(stream) => return exchange(stream, address, token, target),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn exchange(mut stream: TcpStream, host: &str, token: Option<&str>, target: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    // One write, one packet.
    let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{token}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
