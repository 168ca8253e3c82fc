//! Clients of the gateway: HTTP/1.1 byte by byte, HTTP/2 by prior knowledge through hyper.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::wire::{Head, Wire};

/// A request with a body of known length.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, host: &str, target: &str) -> Self {
        Self { head: format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n"), body: Vec::new() }
    }

    /// The plainest request there is.
    #[must_use]
    pub fn get(host: &str, target: &str) -> Self {
        Self::new("GET", host, target)
    }

    /// Adds a header, as spelled here.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// Sets the body and its length.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("Content-Length", &body.len().to_string())
    }

    /// The bytes of the request.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// Sends the request on a connection of its own.
    ///
    /// # Panics
    /// When no complete answer comes.
    pub async fn send(&self, address: SocketAddr) -> Answer {
        let answer = async { self.send_on(&mut Wire::connect(address).await?).await };
        answer.await.unwrap_or_else(|error| panic!("send {} to {address}: {error}", self.head.trim()))
    }

    /// Sends the request on a connection that stays open.
    ///
    /// # Errors
    /// The socket's, and those of an answer that breaks off.
    pub async fn send_on(&self, wire: &mut Wire) -> io::Result<Answer> {
        wire.write(self.bytes()).await?;
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before an answer");
        let head = wire.read_head().await?.ok_or_else(closed)?;
        let body = if self.head.starts_with("HEAD ") { Vec::new() } else { wire.read_answer_body(&head).await? };
        Ok(Answer { head, body })
    }
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line and headers.
    pub head: Head,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("parse {:?}: {error}", self.text()))
    }
}

/// Sends several requests at once over one HTTP/2 connection without TLS; returns status and body of each.
///
/// # Panics
/// When one of them gets no complete answer.
pub async fn http2(address: SocketAddr, requests: Vec<hyper::Request<Full<Bytes>>>) -> Vec<(u16, Bytes)> {
    let stream = TcpStream::connect(address).await.expect("connect");
    let shake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = shake.await.expect("shake hands");
    let driver = tokio::spawn(connection);
    let mut pending = tokio::task::JoinSet::new();
    for (index, request) in requests.into_iter().enumerate() {
        let mut sender = sender.clone();
        pending.spawn(async move {
            let answer = sender.send_request(request).await.expect("get an answer");
            let status = answer.status().as_u16();
            (index, status, answer.into_body().collect().await.expect("read the body").to_bytes())
        });
    }
    let mut answers = pending.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    driver.abort();
    answers.into_iter().map(|(_, status, body)| (status, body)).collect()
}
