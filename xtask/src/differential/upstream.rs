//! An instance that answers with what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;

use anyhow::{Context, Result};

/// What of a request is compared.
const HEADERS: [&str; 3] = ["host", "x-forwarded-prefix", "x-replaced-path"];

/// Listens until the process ends.
pub(super) struct Upstream(SocketAddr);

impl Upstream {
    pub(super) fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen as an instance")?;
        let address = listener.local_addr()?;
        let name = name.to_owned();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let name = name.clone();
                // A connection that breaks concerns nobody but its gateway.
                spawn(move || serve(stream, &name).ok());
            }
        });
        Ok(Self(address))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0
    }
}

fn serve(stream: TcpStream, name: &str) -> Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut shown = vec![format!("{name}: {}", first.trim_end().trim_end_matches(" HTTP/1.1"))];
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
            let (key, value) = line.trim_end().split_once(':').unwrap_or_default();
            if HEADERS.iter().any(|header| header.eq_ignore_ascii_case(key)) {
                shown.push(format!("{}={}", key.to_ascii_lowercase(), value.trim()));
            }
            line.clear();
        }
        shown.sort();
        // The service first: it is told from answers of the gateways by it.
        shown.sort_by_key(|part| !part.starts_with(name));
        let body = shown.join(" ");
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}
