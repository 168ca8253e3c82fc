//! What holds of clients' bytes, whatever they are: targets of `fuzz/`, which every test run calls with a corpus and with
//! mutations of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::header::{HOST, TE};
use hyper::http::Request;
use hyper::http::request::Parts;
use hyper::{Uri, Version};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Client, Exchange, Refused, Rules, StrictStream, accept, hop};
use crate::config::{Limits, Timeouts};

/// What stands for a refused head behind the reader.
const MARK: &[u8] = b"GET refused HTTP/1.1\r\n\r\n";

/// The strict reader: it lets the front of what came through, the same in small pieces, and all of it a second time.
pub fn reader(bytes: &[u8]) {
    let (whole, refused) = passed(bytes, 64 * 1024);
    assert!(bytes.starts_with(&whole));
    let (pieces, same) = passed(bytes, 7);
    assert_eq!((&pieces, reason(same)), (&whole, reason(refused)));
    let (again, none) = passed(&whole, 64 * 1024);
    assert_eq!((again, reason(none)), (whole, None));
}

/// The ingress normaliser: what it accepts has one host, one normal path and nothing that concerns one connection.
pub fn ingress(bytes: &[u8]) {
    let Some(exchange) = accepted(bytes) else { return };
    let text = exchange.path.as_str();
    assert!(text == "*" || text.starts_with('/'), "{text:?}");
    assert!(!text.split('/').any(|segment| segment == "." || segment == ".."), "{text:?}");
    assert!(!exchange.host.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_whitespace()));
    assert!(exchange.head.headers.get_all(HOST).iter().count() <= 1);
    let left = exchange.head.headers.iter().filter(|(name, _)| hop::is_hop_by_hop(name));
    for (name, value) in left {
        assert!(*name == TE && *value == "trailers", "{name}: {value:?}");
    }
}

/// The first request of a client that sends these bytes, as far as it gets past the reader and the normaliser.
pub(crate) fn accepted(bytes: &[u8]) -> Option<Box<Exchange>> {
    let head = first_head(&passed(bytes, 64 * 1024).0)?;
    accept(head, client()).ok()
}

/// What the reader lets through of `bytes`, handing over at most `room` bytes at a time, and what it refused.
pub(crate) fn passed(bytes: &[u8], room: usize) -> (Vec<u8>, Option<Refused>) {
    let client = client();
    let mut stream = StrictStream::new(bytes, Arc::clone(&client), &Limits::default(), &Timeouts::default());
    let mut cx = Context::from_waker(Waker::noop());
    let (mut out, mut space) = (Vec::new(), vec![0; room]);
    loop {
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut stream).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => out.extend_from_slice(buf.filled()),
            _ => break,
        }
    }
    let refused = client.refused().cloned();
    if refused.as_ref().is_some_and(|refused| !refused.in_body) {
        assert!(out.ends_with(MARK));
        out.truncate(out.len() - MARK.len());
    }
    (out, refused)
}

fn reason(refused: Option<Refused>) -> Option<(&'static str, bool)> {
    refused.map(|refused| (refused.refusal.reason, refused.in_body))
}

fn client() -> Arc<Client> {
    Arc::new(Client::new(([127, 0, 0, 1], 1).into(), "web".into(), 0, None, None, Rules::default()))
}

/// The head at the front, as hyper reads it.
fn first_head(bytes: &[u8]) -> Option<Parts> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut read = httparse::Request::new(&mut fields);
    if !read.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut head = Request::builder()
        .method(read.method?)
        .uri(read.path?.parse::<Uri>().ok()?)
        .version(if read.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 });
    for field in read.headers.iter() {
        head = head.header(field.name, field.value);
    }
    Some(head.body(()).ok()?.into_parts().0)
}
