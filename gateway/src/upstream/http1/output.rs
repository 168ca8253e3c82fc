//! What goes out: a request's head, then its body, written with as few system calls as it takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use tokio::io::AsyncWrite;

use super::stream::Stream;
use crate::http::{Forwarding, Present};

/// Pieces up to this size are copied next to what goes before them instead of being written from where they are.
const COPIED: usize = 8 * 1024;

/// How the end of a request's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
}

/// Bytes on their way: `copied`, then `piece`, then `after`.
#[derive(Debug, Default)]
pub(super) struct Output {
    copied: Vec<u8>,
    /// How much of `copied` is written.
    done: usize,
    piece: Bytes,
    after: &'static [u8],
    /// Written since the request began.
    written: u64,
}

impl Output {
    /// Starts with the head of a request.
    pub(super) fn begin(&mut self, head: &Parts, forwarding: Option<&Forwarding>, framing: Framing) {
        self.copied.clear();
        (self.done, self.written) = (0, 0);
        write_head(&mut self.copied, head, forwarding, framing);
    }

    /// Whether a byte of the request has been written.
    pub(super) fn has_begun(&self) -> bool {
        self.written > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done == self.copied.len() && self.piece.is_empty() && self.after.is_empty()
    }

    /// Adds a piece of the body; to be called when nothing but copied bytes is left.
    pub(super) fn put(&mut self, piece: Bytes, framing: Framing) {
        // An empty chunk would be the end of the body; HTTP/2 clients may send empty frames in its midst.
        if piece.is_empty() {
            return;
        }
        let chunked = framing == Framing::Chunked;
        if chunked {
            self.copied.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        let after: &'static [u8] = if chunked { b"\r\n" } else { b"" };
        if piece.len() <= COPIED {
            self.copied.extend_from_slice(&piece);
            self.copied.extend_from_slice(after);
        } else {
            (self.piece, self.after) = (piece, after);
        }
    }

    /// Whether the next piece can be added before this is written: head and a short body then are one system call.
    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.after.is_empty() && self.copied.len() - self.done < COPIED
    }

    /// Adds the end of a chunked body.
    pub(super) fn put_last_chunk(&mut self) {
        self.copied.extend_from_slice(b"0\r\n\r\n");
    }

    /// Ready once everything is written.
    pub(super) fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let copied = self.copied.get(self.done..).unwrap_or_default();
            let written = if self.piece.is_empty() && self.after.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, copied))?
            } else {
                let slices = [IoSlice::new(copied), IoSlice::new(&self.piece), IoSlice::new(self.after)];
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // A long head is not kept while its answer is awaited, perhaps by a client that lets it wait on purpose.
        if self.copied.capacity() > COPIED {
            self.copied = Vec::new();
        }
        self.copied.clear();
        self.done = 0;
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        let of_copied = written.min(self.copied.len() - self.done);
        self.done += of_copied;
        let of_piece = (written - of_copied).min(self.piece.len());
        self.piece.advance(of_piece);
        self.after = self.after.get(written - of_copied - of_piece..).unwrap_or_default();
    }
}

/// Framing headers are written as the body needs them, whatever the head says. What `forwarding` adds goes right from
/// there onto the wire: in the map it would cost as much as all the rest of the head.
pub(super) fn write_head(out: &mut Vec<u8>, head: &Parts, forwarding: Option<&Forwarding>, framing: Framing) {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let mut present = Present::default();
    for (name, value) in &head.headers {
        let is_framing = *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING;
        let is_written_anew = is_framing || forwarding.is_some() && present.note(name.as_str());
        if !is_written_anew {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    if let Some(forwarding) = forwarding {
        forwarding.each(&head.headers, &present, |name, value| write_field(out, name, value));
    }
    match framing {
        Framing::Length(length) => write_field(out, "content-length", length.to_string().as_bytes()),
        Framing::Chunked => write_field(out, "transfer-encoding", b"chunked"),
        // Methods that usually have a body say that there is none (RFC 9110 section 8.6).
        Framing::None if expects_body(&head.method) => write_field(out, "content-length", b"0"),
        Framing::None => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use hyper::Request;

    use super::*;
    use crate::http::{Client, Rules, Trust, accept, finish_request};

    fn head(method: &str, framing: Framing) -> String {
        let request = Request::builder().method(method).uri("/a?b=1").header("host", "h").header("content-length", "9");
        let mut out = Vec::new();
        write_head(&mut out, &request.body(()).unwrap().into_parts().0, None, framing);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn framing_is_the_bodys_not_the_heads() {
        assert_eq!(head("GET", Framing::None), "GET /a?b=1 HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(head("POST", Framing::None), "POST /a?b=1 HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
        assert!(head("PUT", Framing::Length(3)).ends_with("\r\ncontent-length: 3\r\n\r\n"));
        assert!(head("GET", Framing::Chunked).ends_with("\r\ntransfer-encoding: chunked\r\n\r\n"));
    }

    fn lines(head: &Parts, forwarding: Option<&Forwarding>) -> Vec<String> {
        let mut out = Vec::new();
        write_head(&mut out, head, forwarding, Framing::None);
        let mut lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_added_on_the_wire_is_what_would_be_added_to_the_map() {
        let address = ([10, 0, 0, 7], 40000).into();
        let trust = Some(Arc::new(Trust { ranges: vec!["10.0.0.0/8".parse().unwrap()] }));
        let client = Arc::new(Client::new(address, "web".into(), 0, None, trust, Rules::default()));
        let said: &[&[(&str, &str)]] = &[
            &[],
            &[("x-forwarded-for", "9.9.9.9"), ("accept", "*/*"), ("x-forwarded-for", "8.8.8.8")],
            &[("x-forwarded-proto", "https"), ("x-real-ip", "9.9.9.9"), ("x-other", "1")],
            &[("x-forwarded-host", "a.test"), ("x-forwarded-port", "1"), ("x-forwarded-server", "liar")],
        ];
        for said in said {
            let request = Request::builder().uri("/a").header("host", "h.test:81");
            let request = said.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let head = request.body(()).unwrap().into_parts().0;
            let mut exchange = accept(head, Arc::clone(&client)).unwrap();
            let forwarding = finish_request(&mut exchange, None, &"gateway".parse().unwrap());
            let on_the_wire = lines(&exchange.head, Some(&forwarding));
            forwarding.add_to(&mut exchange.head.headers);
            assert_eq!(on_the_wire, lines(&exchange.head, None), "{said:?}");
            let chain = match said.iter().any(|(name, _)| *name == "x-forwarded-for") {
                true => "x-forwarded-for: 9.9.9.9, 8.8.8.8, 10.0.0.7",
                false => "x-forwarded-for: 10.0.0.7",
            };
            assert!(on_the_wire.contains(&chain.to_owned()), "{on_the_wire:?}");
            assert!(on_the_wire.contains(&"x-forwarded-server: gateway".to_owned()), "{on_the_wire:?}");
        }
    }

    #[test]
    fn an_empty_piece_does_not_end_a_chunked_body() {
        let mut output = Output::default();
        output.put(Bytes::new(), Framing::Chunked);
        assert!(output.is_empty());
    }

    #[test]
    fn what_is_written_in_parts_is_written_once() {
        let mut output = Output { copied: b"head".to_vec(), ..Output::default() };
        output.put(Bytes::from(vec![b'x'; COPIED + 1]), Framing::Chunked);
        assert!(!output.has_room());
        let total = 4 + "2001\r\n".len() + COPIED + 1 + 2;
        for step in 1..=3 {
            output.advance(step);
        }
        output.advance(total - 6 - 1);
        assert_eq!(output.after, b"\n");
        output.advance(1);
        assert!(output.is_empty());
        assert_eq!(output.written, total as u64);
    }
}
