//! Clients that ask once and stay: prints `open` when all have their answer, and ends when it is killed.
//!
//! Usage: bench-idle ADDRESS HOST CLIENTS
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a small command line tool")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, host, clients] = arguments.as_slice() else { panic!("usage: bench-idle ADDRESS HOST CLIENTS") };
    let address: SocketAddr = address.parse().expect("an address");
    let clients: usize = clients.parse().expect("a number of clients");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let open: Vec<_> = (0..clients).map(|_| ask(address, request.as_bytes()).expect("an answer")).collect();
    println!("open");
    while !open.is_empty() {
        std::thread::park();
    }
}

fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    let read = stream.read(&mut [0; 4096])?;
    if read == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(stream) }
}
