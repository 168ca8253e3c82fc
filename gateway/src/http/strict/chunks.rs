//! The framing of a chunked body (RFC 9112 section 7.1), byte by byte except for the data.

use hyper::StatusCode;

use super::bytes::is_token;
use crate::http::ingress::Refusal;

/// Bytes of chunk extensions in one body. Nothing we know of uses them; they are for attacks.
const MOST_EXTENSION: u32 = 16 * 1024;
/// Bytes of the trailer section; hyper has a limit of twice as much.
const MOST_TRAILERS: u32 = 8 * 1024;
/// A size of more digits does not fit.
const MOST_DIGITS: u8 = 16;

/// How far the reading of a body has come.
#[derive(Clone, Debug)]
pub(super) struct ChunkScan {
    at: At,
    /// Of the chunk under way, what is left of it.
    size: u64,
    digits: u8,
    /// What is left of the body's limit.
    left: u64,
    extension: u32,
    trailers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    SpaceAfterSize,
    ExtensionName,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

const BAD_CHUNK: Refusal = Refusal { reason: "bad_chunk", status: StatusCode::BAD_REQUEST };
const BAD_TRAILER: Refusal = Refusal { reason: "bad_trailer", status: StatusCode::BAD_REQUEST };
const TOO_LARGE: Refusal = Refusal { reason: "body_too_large", status: StatusCode::PAYLOAD_TOO_LARGE };

impl ChunkScan {
    /// A body of at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { at: At::Size, size: 0, digits: 0, left: limit, extension: 0, trailers: 0 }
    }

    /// Whether the body has ended.
    pub(super) fn is_over(&self) -> bool {
        self.at == At::End
    }

    /// Goes on with `bytes`: how many of them belong to the body and are in order, and why no more are if that is a
    /// fault.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Option<Refusal>) {
        let mut rest = bytes;
        while self.at != At::End {
            if self.at == At::Data {
                let data = usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len());
                self.size -= data as u64;
                rest = rest.get(data..).unwrap_or_default();
                if self.size == 0 {
                    self.at = At::DataCr;
                }
            }
            let Some((byte, after)) = rest.split_first() else { break };
            match self.step(*byte) {
                Ok(at) => self.at = at,
                Err(refusal) => return (bytes.len() - rest.len(), Some(refusal)),
            }
            rest = after;
        }
        (bytes.len() - rest.len(), None)
    }

    fn step(&mut self, byte: u8) -> Result<At, Refusal> {
        match (self.at, byte) {
            (At::Size, digit) if digit.is_ascii_hexdigit() => self.digit(digit),
            (At::Size, b' ' | b'\t') if self.digits > 0 => Ok(At::SpaceAfterSize),
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b';') if self.digits > 0 => Ok(At::ExtensionName),
            // Tolerated since the body is framed anew towards the upstream.
            (At::SpaceAfterSize, b' ' | b'\t') => self.extend(At::SpaceAfterSize),
            (At::SpaceAfterSize, b'\r') => Ok(At::SizeLf),
            (At::SpaceAfterSize, b';') => Ok(At::ExtensionName),
            (At::ExtensionName, b' ' | b'\t') => self.extend(At::ExtensionName),
            (At::ExtensionName, byte) if is_token(byte) => self.extend(At::Extension),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, byte) if is_text(byte) => self.extend(At::Extension),
            (At::SizeLf, b'\n') => self.chunk(),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => {
                self.digits = 0;
                Ok(At::Size)
            }
            (At::TrailerStart, b'\r') => Ok(At::EndLf),
            (At::TrailerStart | At::TrailerName, byte) if is_token(byte) => self.trail(At::TrailerName),
            (At::TrailerName, b':') => self.trail(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, byte) if is_text(byte) => self.trail(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            (At::EndLf, b'\n') => Ok(At::End),
            (At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf | At::EndLf, _) => Err(BAD_TRAILER),
            _ => Err(BAD_CHUNK),
        }
    }

    fn digit(&mut self, digit: u8) -> Result<At, Refusal> {
        if self.digits == MOST_DIGITS {
            return Err(BAD_CHUNK);
        }
        self.digits += 1;
        let value = u64::from(char::from(digit).to_digit(16).unwrap_or(0));
        self.size = self.size << 4 | value;
        Ok(At::Size)
    }

    /// A size line is whole.
    fn chunk(&mut self) -> Result<At, Refusal> {
        if self.size == 0 {
            return Ok(At::TrailerStart);
        }
        self.left = self.left.checked_sub(self.size).ok_or(TOO_LARGE)?;
        Ok(At::Data)
    }

    fn extend(&mut self, at: At) -> Result<At, Refusal> {
        self.extension += 1;
        if self.extension > MOST_EXTENSION { Err(BAD_CHUNK) } else { Ok(at) }
    }

    fn trail(&mut self, at: At) -> Result<At, Refusal> {
        self.trailers += 1;
        if self.trailers > MOST_TRAILERS { Err(BAD_TRAILER) } else { Ok(at) }
    }
}

/// A tab, or anything that is no control character.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
