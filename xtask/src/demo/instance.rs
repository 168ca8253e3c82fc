//! The stand-in for the article's Go program, so that the demo needs no Go: the same text, the same line in its log.

use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

const TEXT: &str = "Hello World! I'm Golang!!!";

/// Serves until the process is killed.
pub(crate) fn serve(name: &str, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    println!("{name:<8} | start http server on {}", address.port());
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream.context("accept a connection")?;
            // A connection that breaks is its client's affair.
            scope.spawn(move || answer_all(name, &stream).ok());
        }
        Ok(())
    })
}

fn answer_all(name: &str, stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(length) = read_head(&mut reader)? {
        copy(&mut reader.by_ref().take(length), &mut sink())?;
        println!("{name:<8} | {TEXT}");
        let size = TEXT.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {size}\r\n");
        let mut writer = stream;
        writer.write_all(format!("{head}X-Instance: {name}\r\n\r\n{TEXT}").as_bytes())?;
    }
    Ok(())
}

/// Reads a request's head and returns the length of its body, or none at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> Result<Option<u64>> {
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 0 {
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(Some(length));
        }
        if let Some((header, value)) = text.split_once(':')
            && header.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("read Content-Length")?;
        }
        line.clear();
    }
    Ok(None)
}
