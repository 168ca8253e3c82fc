//! What every proxy of the benchmark forwards to: a small fixed answer on a kept connection, at next to no cost.
//! `/bytes/N` is answered with N bytes, and bodies of requests are read to their end.
//!
//! Usage: bench-upstream ADDRESS
#![allow(clippy::expect_used, reason = "a failing start is shown as it is")]

use std::io::{Error, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 26\r\n\r\nHello World! I'm Golang!!!";
static PIECE: [u8; 65536] = [b'x'; 65536];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address: SocketAddr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    let listener = TcpListener::bind(address).await.expect("listen");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(65536);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            let head = std::mem::replace(&mut buffer, rest);
            if !head.starts_with(b"GET ") {
                skip_body(&mut stream, &head, &mut buffer).await?;
            }
            answer(&mut stream, &head).await?;
        }
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, head: &[u8]) -> Result<()> {
    let Some(path) = head.strip_prefix(b"GET /bytes/") else { return stream.write_all(ANSWER).await };
    let digits: Vec<_> = path.iter().copied().take_while(u8::is_ascii_digit).collect();
    let mut left: usize = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes()).await?;
    while left > 0 {
        let piece = left.min(PIECE.len());
        stream.write_all(PIECE.get(..piece).unwrap_or(&PIECE)).await?;
        left -= piece;
    }
    Ok(())
}

/// Reads what the head announces. What has come of it already is in the buffer.
async fn skip_body(stream: &mut TcpStream, head: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
    let mut left = length(head).ok_or_else(|| Error::other("a body without a length"))?;
    loop {
        let here = left.min(buffer.len());
        buffer.drain(..here);
        left -= here;
        if left == 0 {
            return Ok(());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(Error::other("the body broke off"));
        }
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
}
