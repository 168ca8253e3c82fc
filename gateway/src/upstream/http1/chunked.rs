//! Chunked bodies (RFC 9112 section 7.1), read strictly: every line ends in CRLF, sizes are plain hexadecimal.

use bytes::{Buf, Bytes, BytesMut};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Extensions of all the chunks of a body, the size lines included, may add up to this.
const MOST_EXTENSION_BYTES: usize = 16 * 1024;
/// Trailers may be this long.
const MOST_TRAILER_BYTES: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;

/// Where in a chunked body the reader is.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of size lines so far that are no digits.
    extensions: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the bytes at hand come to.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing without more bytes.
    More,
}

impl Chunked {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece from the front of `input`; `take` cuts off that many bytes.
    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
        take: impl Fn(&mut BytesMut, usize) -> Bytes,
    ) -> Result<Piece, &'static str> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = line_end(input, MOST_EXTENSION_BYTES)? else { return Ok(Piece::More) };
                    let size = self.size(input.get(..line).unwrap_or_default())?;
                    input.advance(line + 2);
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    let here = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                    if here == 0 {
                        return Ok(Piece::More);
                    }
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Piece::Data(take(input, here)));
                }
                State::DataEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        input.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err("a chunk is longer than its size"),
                    None => return Ok(Piece::More),
                },
                State::Trailers => return self.trailers(input),
                State::Done => return Ok(Piece::End),
            }
        }
    }

    /// Reads a size line without its end.
    fn size(&mut self, line: &[u8]) -> Result<u64, &'static str> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at_checked(digits).unwrap_or_default();
        self.extensions += extension.len();
        if self.extensions > MOST_EXTENSION_BYTES {
            return Err("chunk extensions are too long");
        }
        if extension.first().is_some_and(|byte| !matches!(byte, b';' | b' ' | b'\t'))
            || extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err("a chunk size is not a number");
        }
        let text = std::str::from_utf8(size).unwrap_or_default();
        if text.len() > 16 {
            return Err("a chunk size is too large");
        }
        u64::from_str_radix(text, 16).map_err(|_| "a chunk size is not a number")
    }

    fn trailers(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        if input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::Done;
            return Ok(Piece::End);
        }
        let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
        let (length, parsed) = match httparse::parse_headers(input, &mut fields) {
            Ok(httparse::Status::Complete(complete)) => complete,
            Ok(httparse::Status::Partial) if input.len() <= MOST_TRAILER_BYTES => return Ok(Piece::More),
            Ok(httparse::Status::Partial) | Err(_) => return Err("the trailers are not valid"),
        };
        let mut trailers = HeaderMap::with_capacity(parsed.len());
        for field in parsed {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "a trailer has no valid name")?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| "a trailer has no valid value")?;
            trailers.append(name, value);
        }
        input.advance(length);
        self.state = State::Done;
        Ok(Piece::Trailers(trailers))
    }
}

/// How long the first line is without its CRLF; `None` while it is not there as a whole.
fn line_end(input: &[u8], most: usize) -> Result<Option<usize>, &'static str> {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && input.get(at - 1) == Some(&b'\r') => Ok(Some(at - 1)),
        Some(_) => Err("a chunk size does not end in CRLF"),
        None if input.len() > most => Err("chunk extensions are too long"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The body and the trailers, the bytes coming `step` at a time.
    fn read(bytes: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), &'static str> {
        let (mut chunked, mut input) = (Chunked::default(), BytesMut::new());
        let (mut body, mut trailers, mut pieces) = (Vec::new(), None, bytes.chunks(step));
        loop {
            match chunked.next(&mut input, |input, count| input.split_to(count).freeze())? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Trailers(map) => trailers = Some(map),
                Piece::End => return Ok((body, trailers, input.len() + pieces.map(<[u8]>::len).sum::<usize>())),
                Piece::More => match pieces.next() {
                    Some(piece) => input.extend_from_slice(piece),
                    None => return Err("cut off"),
                },
            }
        }
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let bytes = b"4\r\nWiki\r\n6;x=1\r\npedia \r\nA\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\nrest";
        for step in 1..bytes.len() {
            let (body, trailers, rest) = read(bytes, step).unwrap();
            assert_eq!(body, b"Wikipedia 0123456789", "{step}");
            assert_eq!(trailers.unwrap().get("x-sum").unwrap(), "7", "{step}");
            assert_eq!(rest, 4, "{step}");
        }
        assert_eq!(read(b"0\r\n\r\n", 5).unwrap().0, b"");
    }

    #[test]
    fn what_is_not_chunked_is_refused() {
        for bytes in [
            "3\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "3_0\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "2\r\nabc\r\n0\r\n\r\n",
            "3;a\nabc\r\n0\r\n\r\n",
            "3;\x01\r\nabc\r\n0\r\n\r\n",
            "11111111111111111\r\nabc",
            "0\r\n\rX",
            "0\r\nno colon\r\n\r\n",
        ] {
            assert!(matches!(read(bytes.as_bytes(), 100), Err(error) if error != "cut off"), "{bytes:?}");
        }
        let long = format!("1;{}\r\na\r\n", "x".repeat(MOST_EXTENSION_BYTES));
        assert!(read(long.as_bytes(), 1000).is_err());
        assert_eq!(read(b"5\r\nab", 100).unwrap_err(), "cut off");
    }
}
