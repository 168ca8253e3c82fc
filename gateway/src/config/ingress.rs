//! What an entrypoint makes of requests that are well-formed but unusual.

use super::document::Node;
use super::reader::{Parsed, Section};
use super::values::{boolean, choice};

/// `header-names`: what becomes of headers whose names have anything but letters, digits and `-`. Some servers cannot
/// tell `_` and `-` apart. Twins of the headers the gateway vouches for are never passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderNames {
    /// They are passed on.
    #[default]
    Forward,
    /// They are removed.
    Drop,
    /// The request is refused.
    Reject,
}

/// `encoded-characters`: which characters a path may have percent-encoded, by Traefik's names. NUL never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedCharacters {
    /// `%2F`
    pub slash: bool,
    /// `%5C`
    pub back_slash: bool,
    /// `%3B`
    pub semicolon: bool,
    /// `%25`
    pub percent: bool,
    /// `%3F`
    pub question_mark: bool,
    /// `%23`
    pub hash: bool,
}

impl Default for EncodedCharacters {
    /// All of them.
    fn default() -> Self {
        Self { slash: true, back_slash: true, semicolon: true, percent: true, question_mark: true, hash: true }
    }
}

impl EncodedCharacters {
    /// Whether a path in normal form has only encodings that are allowed.
    #[must_use]
    pub fn allow(self, path: &str) -> bool {
        self == Self::default() || path.split('%').skip(1).all(|encoded| self.allows(encoded))
    }

    fn allows(self, encoded: &str) -> bool {
        match encoded.get(..2) {
            Some("2F") => self.slash,
            Some("5C") => self.back_slash,
            Some("3B") => self.semicolon,
            Some("25") => self.percent,
            Some("3F") => self.question_mark,
            Some("23") => self.hash,
            _ => true,
        }
    }
}

/// Reads `header-names`.
pub(super) fn header_names(node: &Node) -> Parsed<HeaderNames> {
    choice(&[("forward", HeaderNames::Forward), ("drop", HeaderNames::Drop), ("reject", HeaderNames::Reject)])(node)
}

/// Reads `encoded-characters`.
pub(super) fn encoded_characters(mut section: Section<'_>) -> EncodedCharacters {
    let mut allow = |name| section.read_or(name, true, boolean);
    let characters = EncodedCharacters {
        slash: allow("allow-encoded-slash"),
        back_slash: allow("allow-encoded-back-slash"),
        semicolon: allow("allow-encoded-semicolon"),
        percent: allow("allow-encoded-percent"),
        question_mark: allow("allow-encoded-question-mark"),
        hash: allow("allow-encoded-hash"),
    };
    section.finish();
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_refused() {
        let slashes = EncodedCharacters { slash: false, ..EncodedCharacters::default() };
        assert!(slashes.allow("/a%20b%5C"));
        assert!(!slashes.allow("/a%20b%2Fc"));
        assert!(EncodedCharacters::default().allow("/%2F%25"));
    }
}
