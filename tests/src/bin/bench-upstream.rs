//! What every proxy of the benchmark forwards to: a small fixed answer on a kept connection, at next to no cost.
//!
//! Usage: bench-upstream ADDRESS
#![allow(clippy::expect_used, reason = "a failing start is shown as it is")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 26\r\n\r\nHello World! I'm Golang!!!";

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

/// Requests of the benchmark have no body, so the end of a head is the end of a request.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        if buffer.ends_with(b"\r\n\r\n") {
            buffer.clear();
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}
