//! `sluice healthcheck`: one request to the admin API of a running gateway.

use clap::Args;

use super::admin_client::{self, AskError};

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
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{0} answered: {1}")]
    Answer(String, String),
}

/// Whether the gateway is healthy.
pub(super) fn ask(arguments: &Arguments) -> Result<(), Unhealthy> {
    let path = if arguments.live { "/ping" } else { "/ready" };
    let answer = admin_client::get(&arguments.admin, None, path)?;
    if answer.is_ok() {
        return Ok(());
    }
    let said = format!("{} {}", answer.status_line, answer.body.trim());
    Err(Unhealthy::Answer(arguments.admin.clone(), said.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::{Read, Write};
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
        assert!(matches!(refused, Err(Unhealthy::Ask(AskError::Io(..)))), "{refused:?}");
        for admin in ["https://127.0.0.1:1", "127.0.0.1", "http://:80", "http://a:b", "http://a:1/x"] {
            let refused = ask(&Arguments { admin: admin.into(), live: true });
            assert!(matches!(refused, Err(Unhealthy::Ask(AskError::Url(_)))), "{admin}");
        }
    }
}
