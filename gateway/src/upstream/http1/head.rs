//! The head of an answer: parsed, and its framing decided (RFC 9112 section 6.3), with no room for two readings.

use std::mem::MaybeUninit;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::response::Parts;
use hyper::{Method, Response, StatusCode, Version};

/// An answer with more headers is refused.
const MOST_HEADERS: usize = 256;
/// Answers rarely have more headers than this.
const USUAL_HEADERS: usize = 32;
/// A longer head is refused.
pub(super) const MOST_HEAD_BYTES: usize = 128 * 1024;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Length(u64),
    Chunked,
    /// Whatever comes until the connection ends.
    Rest,
}

/// A head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    /// Its length in the input.
    pub(super) length: usize,
    pub(super) follows: Follows,
    /// Whether the connection may carry another exchange.
    pub(super) keep: bool,
}

/// Reads the head at the front of `input`; `None` while it is not there as a whole.
pub(super) fn parse(input: &[u8], method: &Method) -> Result<Option<Head>, &'static str> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    match parse_into(input, &mut usual, method) {
        Err(Refused::TooManyHeaders) => {
            let mut most = [const { MaybeUninit::uninit() }; MOST_HEADERS];
            parse_into(input, &mut most, method)
        }
        done => done,
    }
    .map_err(Refused::reason)
}

#[derive(Debug)]
enum Refused {
    TooManyHeaders,
    For(&'static str),
}

impl Refused {
    fn reason(self) -> &'static str {
        match self {
            Self::TooManyHeaders => "the answer has too many headers",
            Self::For(reason) => reason,
        }
    }
}

impl From<&'static str> for Refused {
    fn from(reason: &'static str) -> Self {
        Self::For(reason)
    }
}

fn parse_into<'b>(
    input: &'b [u8],
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
    method: &Method,
) -> Result<Option<Head>, Refused> {
    let mut answer = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, input, fields)
    {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD_BYTES => length,
        Ok(httparse::Status::Partial) if input.len() <= MOST_HEAD_BYTES => return Ok(None),
        Ok(_) => return Err("the answer's head is too long".into()),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooManyHeaders),
        Err(_) => return Err("the answer is not valid HTTP".into()),
    };
    let status =
        answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("the answer has no valid status")?;
    if status.as_u16() >= 600 {
        return Err("the answer has no valid status".into());
    }
    let old = answer.version == Some(0);
    // One allocation for all values, and the buffer they came in can be used again.
    let bytes = Bytes::copy_from_slice(input.get(..length).unwrap_or_default());
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    let mut framing = Framing { length: None, chunked: false, close: old };
    for field in answer.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "a header of the answer has no name")?;
        let start = field.value.as_ptr().addr() - input.as_ptr().addr();
        let value = HeaderValue::from_maybe_shared(bytes.slice(start..start + field.value.len()))
            .map_err(|_| "a header of the answer has no valid value")?;
        if framing.takes(&name, &value)? {
            headers.append(name, value);
        }
    }
    if framing.chunked {
        if old {
            return Err("an HTTP/1.0 answer cannot be chunked".into());
        }
        // Somebody on the way may have believed the length: what comes after cannot be trusted.
        framing.close |= headers.remove(CONTENT_LENGTH).is_some();
    }
    let follows = framing.follows(method, status);
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = if old { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = headers;
    Ok(Some(Head { parts, length, follows, keep: !framing.close && follows != Follows::Rest }))
}

struct Framing {
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

impl Framing {
    /// Heeds a header; answers whether it is to be kept.
    fn takes(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, &'static str> {
        if *name == CONTENT_LENGTH {
            let length = content_length(value).ok_or("the answer's Content-Length is not a number")?;
            return match self.length.replace(length) {
                Some(before) if before != length => Err("the answer has two different lengths"),
                before => Ok(before.is_none()),
            };
        }
        if *name == TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err("the answer has a transfer coding other than chunked");
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    self.close = true;
                } else if token.eq_ignore_ascii_case(b"keep-alive") {
                    self.close = false;
                }
            }
        }
        Ok(true)
    }

    fn follows(&self, method: &Method, status: StatusCode) -> Follows {
        let never = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if never || *method == Method::HEAD {
            return Follows::Nothing;
        }
        match self.length {
            _ if self.chunked => Follows::Chunked,
            Some(0) => Follows::Nothing,
            Some(length) => Follows::Length(length),
            None => Follows::Rest,
        }
    }
}

/// Digits and nothing else.
fn content_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn get(text: &str) -> Result<Option<Head>, &'static str> {
        parse(text.as_bytes(), &Method::GET)
    }

    fn follows(text: &str) -> (Follows, bool) {
        let head = get(text).unwrap().unwrap();
        (head.follows, head.keep)
    }

    #[test]
    fn the_head_says_what_follows() {
        assert_eq!(follows("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), (Follows::Length(5), true));
        assert_eq!(follows("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").0, Follows::Length(5));
        assert_eq!(follows("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"), (Follows::Chunked, true));
        assert_eq!(follows("HTTP/1.1 200 OK\r\n\r\n"), (Follows::Rest, false));
        assert_eq!(follows("HTTP/1.1 204 No Content\r\n\r\n"), (Follows::Nothing, true));
        assert_eq!(follows("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), (Follows::Nothing, true));
        assert!(!follows("HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 1\r\n\r\n").1);
        assert!(!follows("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").1);
        assert!(follows("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n").1);
        let head = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert_eq!(
            (head.follows, head.parts.headers.get("content-length").unwrap().as_bytes()),
            (Follows::Nothing, &b"5"[..])
        );
    }

    #[test]
    fn a_length_beside_chunks_is_dropped_and_the_connection_with_it() {
        let head = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.follows, head.keep), (Follows::Chunked, false));
        assert!(!head.parts.headers.contains_key("content-length"));
    }

    #[test]
    fn two_readings_are_none() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 2OO OK\r\n\r\n",
            "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX Y: a\r\n\r\n",
            "hello\r\n\r\n",
        ] {
            assert!(get(head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn many_headers_fit_and_too_many_do_not() {
        let lines = |count| (0..count).map(|at| format!("x-{at}: 1\r\n")).collect::<String>();
        for (count, fits) in [(200, true), (256, true), (257, false)] {
            let head = get(&format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(count)));
            assert_eq!(head.is_ok_and(|head| head.unwrap().parts.headers.len() == count), fits, "{count}");
        }
        assert!(get("HTTP/1.1 200 OK\r\nX: 1\r\n").unwrap().is_none());
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(MOST_HEAD_BYTES));
        assert!(get(&long).is_err());
        assert!(get(&format!("{long}\r\n\r\n")).is_err(), "even where it comes as a whole");
    }
}
