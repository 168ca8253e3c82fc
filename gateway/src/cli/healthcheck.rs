//! `sluice healthcheck`: one request to the admin API of a running gateway.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

/// Longer than this is not healthy; Docker's own limit is 30 s, Keepalived's is its interval.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What to ask.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the admin API listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    admin: String,
    /// Ask only whether the process lives, not whether it serves: it does not while it drains or waits for services
    #[arg(long)]
    live: bool,
}

/// Why it is not healthy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unhealthy {
    #[error("`{0}` is not the URL of an admin API; write such as http://127.0.0.1:8080")]
    Url(String),
    #[error("asking {0}: {1}")]
    Io(String, io::Error),
    #[error("{0} answered: {1}")]
    Answer(String, String),
}

/// Whether the gateway is healthy.
pub(super) fn ask(arguments: &Arguments) -> Result<(), Unhealthy> {
    let address = address(&arguments.admin).ok_or_else(|| Unhealthy::Url(arguments.admin.clone()))?;
    let path = if arguments.live { "/ping" } else { "/ready" };
    let answer = request(address, path).map_err(|error| Unhealthy::Io(arguments.admin.clone(), error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status_line = head.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => {
            let said = format!("{} {}", status_line.trim(), body.trim());
            Err(Unhealthy::Answer(arguments.admin.clone(), said.trim().to_owned()))
        }
    }
}

/// `host:port` of a plain URL.
fn address(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let address = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty() && !address.contains('/') && port.parse::<u16>().is_ok()).then_some(address)
}

/// The answer as it came, up to a few kilobytes. One request over a connection of its own needs no HTTP client.
fn request(address: &str, path: &str) -> io::Result<String> {
    let mut failure = io::Error::other("the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, TIMEOUT) {
            Ok(stream) => return exchange(stream, address, path),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn exchange(mut stream: TcpStream, host: &str, path: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // One write, one packet.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(16 << 10).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `status`, and gives what was asked for.
    fn against(status: &'static str, live: bool) -> (Result<(), Unhealthy>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno").unwrap();
            String::from_utf8(request).unwrap()
        });
        let result = ask(&Arguments { admin, live });
        (result, server.join().unwrap())
    }

    #[test]
    fn only_200_is_healthy() {
        let (result, asked) = against("200 OK", false);
        assert!(result.is_ok() && asked.starts_with("GET /ready HTTP/1.1\r\n"), "{asked}");
        let (result, asked) = against("503 Service Unavailable", true);
        assert!(asked.starts_with("GET /ping "), "{asked}");
        assert!(result.unwrap_err().to_string().ends_with("answered: HTTP/1.1 503 Service Unavailable no"));
    }

    #[test]
    fn nobody_there_is_not_healthy() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = ask(&Arguments { admin: free.to_string(), live: true });
        assert!(matches!(refused, Err(Unhealthy::Io(..))), "{refused:?}");
        for admin in ["https://127.0.0.1:1", "127.0.0.1", "http://:80", "http://a:b", "http://a:1/x"] {
            assert!(matches!(ask(&Arguments { admin: admin.into(), live: true }), Err(Unhealthy::Url(_))), "{admin}");
        }
    }
}
