//! The path of a request, normalised once before anything looks at it.
//!
//! Takes the path of a request target as sent; gives the form that is forwarded and the forms that matchers see. All
//! of them come from one pass, so routing, policies and the upstream can never disagree (RFC 3986 section 6.2.2:
//! percent-encodings of unreserved characters are decoded, the others get upper-case digits, dot segments and empty
//! segments are removed). It never decodes `%2F` and friends in the forwarded form.

use std::borrow::Cow;

use crate::contribution::PathView;

/// A normalised path: begins with `/`, has no query, no dot segments and no empty segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath {
    forwarded: String,
    /// `None` where there is nothing to decode and every view is the same.
    views: Option<Box<Views>>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Views {
    routing: String,
    decoded: String,
}

/// Why a path was refused. The display text is meant for the log, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("path does not begin with `/`")]
    NotAbsolute,
    /// A byte that may not stand in a path: a control, a space, `#`, `\`, or one above ASCII.
    #[error("path contains the byte {0:#04x}, which must be percent-encoded")]
    Byte(u8),
    /// `%` without two hexadecimal digits.
    #[error("path contains `%` without two hexadecimal digits")]
    Percent,
    /// `%00`.
    #[error("path contains an encoded NUL")]
    Nul,
    /// A UTF-8 sequence longer than needed, such as `%C0%AF` for `/`.
    #[error("path contains an overlong UTF-8 sequence")]
    Overlong,
}

impl NormalPath {
    /// Normalises a path as it was sent, without its query.
    ///
    /// # Errors
    /// [`PathError`] for what no proxy should forward.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let shape = inspect(raw.as_bytes())?;
        if !shape.percent && !shape.dots {
            return Ok(Self { forwarded: raw.to_owned(), views: None, changed: false });
        }
        let recoded = if shape.percent { Cow::Owned(recode(raw)?) } else { Cow::Borrowed(raw) };
        let forwarded = remove_dot_segments(&recoded);
        let changed = forwarded != raw;
        let views = forwarded.contains('%').then(|| {
            Box::new(Views { routing: decode(&forwarded, Keep::Reserved), decoded: decode(&forwarded, Keep::Nothing) })
        });
        Ok(Self { forwarded, views, changed })
    }

    /// The path as it goes upstream.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.forwarded
    }

    /// The form a matcher looks at.
    #[must_use]
    pub fn view(&self, view: PathView) -> &str {
        match (&self.views, view) {
            (None, _) => &self.forwarded,
            (Some(views), PathView::Routing) => &views.routing,
            (Some(views), PathView::Decoded) => &views.decoded,
        }
    }

    /// Whether the two views may differ.
    #[must_use]
    pub fn has_encodings(&self) -> bool {
        self.views.is_some()
    }

    /// Whether normalising changed anything.
    #[must_use]
    pub fn was_changed(&self) -> bool {
        self.changed
    }
}

/// What the first pass over the bytes found.
struct Shape {
    percent: bool,
    /// `//`, `/.` or the like: dot or empty segments are possible.
    dots: bool,
}

fn inspect(bytes: &[u8]) -> Result<Shape, PathError> {
    let mut shape = Shape { percent: false, dots: false };
    let mut previous = 0_u8;
    for &byte in bytes {
        match byte {
            b'%' => shape.percent = true,
            b'.' | b'/' if previous == b'/' => shape.dots = true,
            0..=b' ' | 0x7f..=0xff | b'#' | b'\\' => return Err(PathError::Byte(byte)),
            _ => {}
        }
        previous = byte;
    }
    Ok(shape)
}

/// Decodes unreserved characters, writes the other encodings in upper case, refuses what is not an encoding.
fn recode(raw: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut trail = [0_u8; 2];
    while let Some(at) = rest.find('%') {
        let (before, encoded) = rest.split_at(at);
        if at > 0 {
            trail = [0; 2];
        }
        out.push_str(before);
        let byte = hex_pair(encoded).ok_or(PathError::Percent)?;
        if byte == 0 {
            return Err(PathError::Nul);
        }
        if is_overlong(trail[1], byte) {
            return Err(PathError::Overlong);
        }
        trail = [trail[1], byte];
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xf));
        }
        rest = encoded.get(3..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

/// `first` and `second` are consecutive encoded bytes.
fn is_overlong(first: u8, second: u8) -> bool {
    match first {
        0xc0 | 0xc1 => (0x80..=0xbf).contains(&second),
        0xe0 => (0x80..=0x9f).contains(&second),
        0xf0 => (0x80..=0x8f).contains(&second),
        _ => false,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b':' | b'/'
            | b'?'
            | b'#'
            | b'['
            | b']'
            | b'@'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b'%'
    )
}

fn hex_pair(encoded: &str) -> Option<u8> {
    let digits = encoded.as_bytes().get(1..3)?;
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.last()?).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// RFC 3986 section 5.2.4, and empty segments go too. Keeps a final slash.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut slash_at_end = false;
    for segment in path.split('/').skip(1) {
        slash_at_end = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if slash_at_end || out.is_empty() {
        out.push('/');
    }
    out
}

/// Which encodings [`decode`] leaves alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Reserved,
    Nothing,
}

fn decode(path: &str, keep: Keep) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, encoded) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        match hex_pair(encoded) {
            Some(byte) if keep == Keep::Nothing || !is_reserved(byte) => bytes.push(byte),
            _ => bytes.extend_from_slice(encoded.get(..3).unwrap_or(encoded).as_bytes()),
        }
        rest = encoded.get(3..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Percent-encodes what may not stand in a path, for text that steps and plugins put there. `%` itself is kept, so
/// that text which is encoded already stays as it is.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let bad = |byte: u8| {
        !(0x21..0x7f).contains(&byte)
            || matches!(byte, b'#' | b'?' | b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if !text.bytes().any(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if bad(byte) {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xf));
        } else {
            out.push(char::from(byte));
        }
    }
    Cow::Owned(out)
}

/// How many bytes of the encoded `path` make up the first `decoded` bytes of its decoded form; `None` when that
/// would cut an encoding in two.
#[must_use]
pub fn encoded_len(path: &str, decoded: usize) -> Option<usize> {
    let bytes = path.as_bytes();
    let (mut at, mut seen) = (0, 0);
    while seen < decoded {
        at += if *bytes.get(at)? == b'%' { 3 } else { 1 };
        seen += 1;
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn normal(raw: &str) -> String {
        NormalPath::parse(raw).unwrap().as_str().to_owned()
    }

    #[test]
    fn dot_and_empty_segments_go() {
        for (raw, want) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/./b/", "/a/b/"),
            ("//a//b", "/a/b"),
            ("/pub/%2e%2e/admin", "/admin"),
            ("/a/b/..", "/a/"),
            ("/../../x", "/x"),
            ("/.", "/"),
            ("/a/.hidden", "/a/.hidden"),
            ("/a/...", "/a/..."),
        ] {
            assert_eq!(normal(raw), want, "{raw}");
        }
    }

    #[test]
    fn unreserved_encodings_are_decoded_and_others_kept_in_upper_case() {
        assert_eq!(normal("/%41%7e%2f%c3%a9"), "/A~%2F%C3%A9");
    }

    #[test]
    fn views_differ_only_in_reserved_characters() {
        let path = NormalPath::parse("/p%20q%2Fr").unwrap();
        assert_eq!(path.view(PathView::Routing), "/p q%2Fr");
        assert_eq!(path.view(PathView::Decoded), "/p q/r");
        assert_eq!(path.as_str(), "/p%20q%2Fr");
        assert!(!NormalPath::parse("/plain").unwrap().has_encodings());
    }

    #[test]
    fn what_no_proxy_should_forward_is_refused() {
        for (raw, error) in [
            ("admin", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/a#b", PathError::Byte(b'#')),
            ("/a\\b", PathError::Byte(b'\\')),
            ("/a b", PathError::Byte(b' ')),
            ("/%zz", PathError::Percent),
            ("/%4", PathError::Percent),
            ("/%00", PathError::Nul),
            ("/%c0%af", PathError::Overlong),
            ("/é", PathError::Byte(0xc3)),
        ] {
            assert_eq!(NormalPath::parse(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        for raw in ["/a/../b%2f%7E", "//x/%2e/y/", "/%C3%A9/."] {
            let once = normal(raw);
            assert_eq!(normal(&once), once);
        }
    }

    #[test]
    fn lengths_map_from_decoded_to_encoded() {
        assert_eq!(encoded_len("/p%20q/r", 4), Some(6));
        assert_eq!(encoded_len("/shop/u%2Fv", 5), Some(5));
        assert_eq!(encoded_len("/a", 3), None);
    }
}
