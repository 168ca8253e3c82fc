//! Base64 on the way: request bodies of clients that cannot send anything else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Base64 that comes in pieces cut anywhere, each run of it padded or not.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Fewer than four characters.
    left: Vec<u8>,
}

impl Decoder {
    /// The bytes of all whole groups so far.
    ///
    /// # Errors
    /// What is no base64.
    pub(super) fn push(&mut self, text: &[u8]) -> Result<Vec<u8>, base64::DecodeError> {
        self.left.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let whole = self.left.len() / 4 * 4;
        let rest = self.left.split_off(whole);
        let groups = std::mem::replace(&mut self.left, rest);
        let mut bytes = Vec::with_capacity(whole / 4 * 3);
        for group in runs(&groups) {
            bytes.extend(STANDARD.decode(group)?);
        }
        Ok(bytes)
    }

    /// Whether the text may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }
}

/// Padding ends a run; another one may follow.
fn runs(groups: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = groups;
    std::iter::from_fn(move || {
        let end = rest.chunks(4).position(|group| group.ends_with(b"=")).map_or(rest.len(), |at| (at + 1) * 4);
        let (run, after) = rest.split_at_checked(end)?;
        rest = after;
        (!run.is_empty()).then_some(run)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nonsense_is_an_error_and_half_a_group_is_not_whole() {
        assert!(Decoder::default().push(b"!!!!").is_err());
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"YW").unwrap(), b"");
        assert!(!decoder.is_whole());
        assert_eq!(decoder.push(b"I=").unwrap(), b"ab");
        assert!(decoder.is_whole());
    }

    proptest! {
        #[test]
        fn runs_cut_anywhere_are_put_together(
            runs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5),
            cut in 1_usize..7,
        ) {
            let text: String = runs.iter().map(|run| STANDARD.encode(run)).collect();
            let mut decoder = Decoder::default();
            let mut bytes = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                bytes.extend(decoder.push(piece).unwrap());
            }
            prop_assert_eq!(bytes, runs.concat());
            prop_assert!(decoder.is_whole());
        }
    }
}
