//! One HTTP/1.1 request on a connection of its own: enough for the Consul agent and the demo's own checks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Longer than any answer on the same machine takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request and reads the answer to the end of the connection.
pub(crate) fn request(address: SocketAddr, method: &str, host: &str, path: &str, body: &str) -> Result<Answer> {
    send(address, method, host, path, "", body)
}

/// The same with more header lines, each with its line end, and no body.
pub(crate) fn request_with(address: SocketAddr, method: &str, host: &str, path: &str, headers: &str) -> Result<Answer> {
    send(address, method, host, path, headers, "")
}

fn send(address: SocketAddr, method: &str, host: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    let connect = || format!("connect to {address}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(connect)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    // HTTP/1.0, so that the answer is neither chunked nor kept open.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).with_context(|| format!("read the answer of {address}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{address} sent no complete answer"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer { status: status.with_context(|| format!("{address} did not answer with HTTP"))?, body: body.to_owned() })
}
