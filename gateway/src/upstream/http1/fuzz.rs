//! What holds of everything that is sent to instances and of everything they answer: targets of `fuzz/`, which every test
//! run calls with corpora and with mutations of them.

use hyper::Method;
use hyper::header::{CONTENT_LENGTH, HeaderValue, TE, TRANSFER_ENCODING};

use super::head::{self, Follows};
use super::output::{Framing, write_head};
use crate::http::{finish_request, finish_response, fuzz};

/// A client's request, as an instance gets it: a strict reader takes it for one request, and for the same one.
pub fn request(bytes: &[u8]) {
    let bodies: [(Framing, &[u8]); 3] =
        [(Framing::None, b""), (Framing::Length(3), b"abc"), (Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\n")];
    for (framing, body) in bodies {
        let Some(mut exchange) = fuzz::accepted(bytes) else { return };
        let forwarding = finish_request(&mut exchange, None, &HeaderValue::from_static("gateway"));
        let mut sent = Vec::new();
        write_head(&mut sent, &exchange.head, Some(&forwarding), framing);
        sent.extend_from_slice(body);
        let shown = || String::from_utf8_lossy(&sent).into_owned();
        let (read, refused) = fuzz::passed(&sent, 64 * 1024);
        assert!(refused.is_none(), "{refused:?} {:?}", shown());
        assert_eq!(read.len(), sent.len(), "{:?}", shown());
        let upgrade = exchange.upgrade.is_some();
        // What follows is a request of its own.
        let (_, refused) = fuzz::passed(&[&sent, b"\n".as_slice()].concat(), 64 * 1024);
        assert!(upgrade || refused.is_some_and(|refused| !refused.in_body), "{:?}", shown());
        let Some(again) = fuzz::accepted(&sent) else { continue };
        assert_eq!((&again.host, again.path.as_str()), (&exchange.host, exchange.path.as_str()), "{:?}", shown());
    }
}

/// An instance's answer: its head is read alike whatever follows, says one thing of its body, and has nothing for
/// clients that concerns one connection.
pub fn answer(bytes: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let Ok(Some(head)) = head::parse(bytes, &method) else { continue };
        let alone = head::parse(bytes.get(..head.length).unwrap_or_default(), &method).ok().flatten();
        assert!(alone.is_some_and(|alone| (alone.length, alone.follows) == (head.length, head.follows)));
        let fields = &head.parts.headers;
        assert!(!(fields.contains_key(CONTENT_LENGTH) && fields.contains_key(TRANSFER_ENCODING)));
        assert!(fields.get_all(CONTENT_LENGTH).iter().count() <= 1);
        assert!(!(head.keep && head.follows == Follows::Rest));
        let Some(mut exchange) = fuzz::accepted(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") else {
            unreachable!("this is a request");
        };
        let mut parts = head.parts;
        finish_response(&mut parts, &mut exchange, false);
        for name in
            ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "proxy-authenticate"]
        {
            assert!(!parts.headers.contains_key(name), "{name}");
        }
        assert!(parts.headers.get_all(TE).iter().all(|value| value == "trailers"));
    }
}

#[cfg(test)]
#[path = "fuzz_tests.rs"]
mod tests;
