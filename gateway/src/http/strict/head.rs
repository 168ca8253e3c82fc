//! The head of a request, line by line, as its bytes arrive. Each byte is looked at once, in place.

use hyper::StatusCode;

use super::bytes::{is_target, is_token, next_control, token, trim};
use crate::http::ingress::Refusal;

/// What a head may be.
#[derive(Clone, Debug)]
pub(super) struct HeadLimits {
    /// Bytes of the whole head.
    pub(super) bytes: usize,
    /// Header fields.
    pub(super) fields: usize,
    /// Bytes of the target.
    pub(super) target: usize,
}

/// How far the reading of a head has come. Positions count from the head's first byte.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadScan {
    /// Where the line under way begins.
    line: usize,
    /// Everything before was looked at.
    searched: usize,
    blank_lines: u8,
    fields: usize,
    version: Option<Version>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    odd_names: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// What became of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeadStep {
    /// It goes on beyond the bytes at hand.
    More,
    /// It is whole and may be passed on.
    Whole(Head),
    /// It may not.
    Refused(Refusal),
}

/// What has to be known of a head to find the end of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes, the empty line included.
    pub(super) len: usize,
    pub(super) body: Framing,
    /// It asks for another protocol, so what follows may not be HTTP.
    pub(super) upgrade: bool,
    /// The name of a header has anything but letters, digits and `-`.
    pub(super) odd_names: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Between `GET ` and the shortest end of a request line there is not more than this besides the target.
const LINE_AROUND_TARGET: usize = 64;

const fn bad(reason: &'static str) -> Refusal {
    Refusal { reason, status: StatusCode::BAD_REQUEST }
}

impl HeadScan {
    /// Goes on with `bytes`, which begin where the head begins and hold more than the last time.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &HeadLimits) -> HeadStep {
        loop {
            let found = bytes.get(self.searched..).and_then(next_control);
            let Some((at, control)) = found.map(|(at, control)| (self.searched + at, control)) else {
                self.searched = bytes.len();
                return self.too_long(bytes.len(), limits).map_or(HeadStep::More, HeadStep::Refused);
            };
            match (control, bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => {
                    let line = bytes.get(self.line..at).unwrap_or_default();
                    (self.line, self.searched) = (at + 2, at + 2);
                    if let Some(refusal) = self.too_long(at + 2, limits) {
                        return HeadStep::Refused(refusal);
                    }
                    match self.take(line, limits) {
                        Ok(None) => {}
                        Ok(Some(body)) => {
                            return HeadStep::Whole(Head {
                                len: at + 2,
                                body,
                                upgrade: self.upgrade,
                                odd_names: self.odd_names,
                            });
                        }
                        Err(refusal) => return HeadStep::Refused(refusal),
                    }
                }
                (b'\r', None) => {
                    self.searched = at;
                    return HeadStep::More;
                }
                (b'\r', _) => return HeadStep::Refused(bad("bare_cr")),
                (b'\n', _) => return HeadStep::Refused(bad("bare_lf")),
                (b'\t', _) if self.version.is_some() => self.searched = at + 1,
                _ => return HeadStep::Refused(bad("control_character")),
            }
        }
    }

    fn too_long(&self, len: usize, limits: &HeadLimits) -> Option<Refusal> {
        if self.version.is_none() && len - self.line > limits.target + LINE_AROUND_TARGET {
            return Some(Refusal { reason: "target_too_long", status: StatusCode::URI_TOO_LONG });
        }
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        (len > limits.bytes).then_some(Refusal { reason: "head_too_large", status })
    }

    /// Takes one line without its end; the framing of the body once it was the last.
    fn take(&mut self, line: &[u8], limits: &HeadLimits) -> Result<Option<Framing>, Refusal> {
        let Some(version) = self.version else {
            if line.is_empty() {
                // RFC 9112 section 2.2 has servers ignore one empty line before a request.
                self.blank_lines += 1;
                return if self.blank_lines > 1 { Err(bad("bad_request_line")) } else { Ok(None) };
            }
            self.version = Some(request_line(line, limits)?);
            return Ok(None);
        };
        if line.is_empty() {
            return self.framing(version).map(Some);
        }
        self.fields += 1;
        if self.fields > limits.fields {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Refusal { reason: "too_many_headers", status });
        }
        self.field(line).map(|()| None)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(bad("obs_fold"));
        }
        let (end, odd) = token(line);
        self.odd_names |= odd;
        let (name, rest) = line.split_at(end);
        let value = match (name, rest.split_first()) {
            ([_, ..], Some((b':', value))) => value,
            _ => return Err(bad("bad_header_name")),
        };
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(trim(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(bad("duplicate_content_length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(bad("bad_content_length"));
        }
        let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        // What hyper cannot tell from its marks for other framings is no length either.
        self.length = Some(length.filter(|length| *length < u64::MAX - 2).ok_or(bad("bad_content_length"))?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(bad("bad_transfer_encoding"));
        }
        let mut codings = value.split(|byte| *byte == b',').map(trim).rev();
        let last_is_chunked = codings.next().is_some_and(is_chunked);
        let mut others = 0;
        for coding in codings {
            if coding.is_empty() || !coding.iter().all(|byte| is_token(*byte)) || is_chunked(coding) {
                return Err(bad("bad_transfer_encoding"));
            }
            others += 1;
        }
        if !last_is_chunked {
            return Err(bad("bad_transfer_encoding"));
        }
        if others > 0 {
            let status = StatusCode::NOT_IMPLEMENTED;
            return Err(Refusal { reason: "unknown_transfer_encoding", status });
        }
        self.chunked = true;
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(bad("length_and_coding")),
            (true, None) if version == Version::Http10 => Err(bad("coding_on_http_10")),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// Method, target and version with one space between them (RFC 9112 section 3).
fn request_line(line: &[u8], limits: &HeadLimits) -> Result<Version, Refusal> {
    let bad_line = bad("bad_request_line");
    let end = line.iter().position(|byte| !is_token(*byte)).ok_or(bad_line)?;
    let (method, rest) = line.split_at(end);
    let rest = rest.strip_prefix(b" ").filter(|_| !method.is_empty()).ok_or(bad_line)?;
    let end = rest.iter().position(|byte| !is_target(*byte)).ok_or(bad_line)?;
    let (target, rest) = rest.split_at(end);
    let version = match rest {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        [b' ', version @ ..] => return Err(bad_version(version)),
        _ => return Err(bad("bad_target")),
    };
    if target.len() > limits.target {
        return Err(Refusal { reason: "target_too_long", status: StatusCode::URI_TOO_LONG });
    }
    match (target, method) {
        (_, b"CONNECT") => Err(Refusal { reason: "connect", status: StatusCode::NOT_IMPLEMENTED }),
        ([b'/', ..], _) | (b"*", b"OPTIONS") => Ok(version),
        _ if is_absolute(target) => Ok(version),
        _ => Err(bad("bad_target")),
    }
}

fn is_absolute(target: &[u8]) -> bool {
    let begins = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|have| have.eq_ignore_ascii_case(scheme));
    begins(b"http://") || begins(b"https://")
}

fn bad_version(version: &[u8]) -> Refusal {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Refusal { reason: "unsupported_version", status: StatusCode::HTTP_VERSION_NOT_SUPPORTED }
        }
        _ => bad("bad_request_line"),
    }
}
