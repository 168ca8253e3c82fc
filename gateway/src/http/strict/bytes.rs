//! Classes of bytes, and the search for the next one that is not text.

/// The first control character (below a space, or DEL) and where it is. Eight bytes at a time.
pub(super) fn next_control(bytes: &[u8]) -> Option<(usize, u8)> {
    const LOW: u64 = u64::from_ne_bytes([0x20; 8]);
    const DEL: u64 = u64::from_ne_bytes([0x7f; 8]);
    const ONE: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOP: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    let is_control = |byte: u8| byte < 0x20 || byte == 0x7f;
    let mut at = 0;
    for word in words {
        let word_le = u64::from_le_bytes(*word);
        let delete = word_le ^ DEL;
        // The top bit of each byte that is below a space, or is DEL. A borrow only blurs what is above such a byte.
        let found = (word_le.wrapping_sub(LOW) & !word_le | delete.wrapping_sub(ONE) & !delete) & TOP;
        if found != 0 {
            let inside = found.trailing_zeros() as usize / 8;
            return word.get(inside).map(|byte| (at + inside, *byte));
        }
        at += 8;
    }
    let inside = rest.iter().position(|byte| is_control(*byte))?;
    rest.get(inside).map(|byte| (at + inside, *byte))
}

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const ODD: u8 = 4;
const HOST: u8 = 8;

/// The classes of each byte.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        let delimiter =
            matches!(byte, b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'[' | b'\\' | b']' | b'{' | b'}');
        let fragment = byte == b'#';
        let odd = !byte.is_ascii_alphanumeric() && byte != b'-';
        let in_host = !odd || matches!(byte, b'!' | b'$'..=b'+' | b'.' | b':' | b';' | b'=' | b'_' | b'~');
        #[allow(clippy::indexing_slicing, reason = "a byte is always within 256")]
        {
            classes[byte as usize] = if delimiter { 0 } else { TOKEN }
                | if fragment { 0 } else { TARGET }
                | if odd { ODD } else { 0 }
                | if in_host { HOST } else { 0 };
        }
        byte += 1;
    }
    classes
}

#[allow(clippy::indexing_slicing, reason = "a byte is always within 256")]
fn has(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// What the host of a request may be made of: a name or an address of RFC 3986 section 3.2.2, but for the comma.
pub(in crate::http) fn is_in_host(byte: u8) -> bool {
    has(byte, HOST)
}

/// `tchar` of RFC 9110 section 5.6.2: what methods and header names are made of.
pub(super) fn is_token(byte: u8) -> bool {
    has(byte, TOKEN)
}

/// The length of the token `bytes` begin with, and whether it has anything but letters, digits and `-`.
#[allow(clippy::indexing_slicing, reason = "a byte is always within 256")]
pub(super) fn token(bytes: &[u8]) -> (usize, bool) {
    let mut seen = 0;
    let mut len = 0;
    for byte in bytes {
        let class = CLASSES[usize::from(*byte)];
        if class & TOKEN == 0 {
            break;
        }
        seen |= class;
        len += 1;
    }
    (len, seen & ODD != 0)
}

/// Visible ASCII other than `#`: a fragment is never sent.
pub(super) fn is_target(byte: u8) -> bool {
    has(byte, TARGET)
}

/// Without the optional white space around a field value: spaces and tabs, nothing else.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(begin, |last| last + 1);
    value.get(begin..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_is_found_wherever_it_is() {
        for control in (0_u8..0x20).chain([0x7f]) {
            for at in 0..20 {
                let mut text = vec![b'a'; at];
                text.push(control);
                text.extend([0xff, 0x80, b' ', 0x7f, 0]);
                assert_eq!(next_control(&text), Some((at, control)));
            }
        }
        let text: Vec<u8> = (0x20..0x7f).chain(0x80..=0xff).collect();
        assert_eq!(next_control(&text), None);
    }

    #[test]
    fn tokens_and_targets_are_those_of_the_grammar() {
        let tokens: Vec<u8> = (0..=255).filter(|byte| is_token(*byte)).collect();
        let mut expected: Vec<u8> = b"!#$%&'*+-.^_`|~".to_vec();
        expected.extend(b'0'..=b'9');
        expected.extend(b'A'..=b'Z');
        expected.extend(b'a'..=b'z');
        expected.sort_unstable();
        assert_eq!(tokens, expected);
        let others = expected.iter().copied().filter(|byte| !b"#^`|".contains(byte));
        let mut hosts: Vec<u8> = others.chain(*b"();:=").collect();
        hosts.sort_unstable();
        assert_eq!((0..=255).filter(|byte| is_in_host(*byte)).collect::<Vec<u8>>(), hosts);
        assert!((0..=255_u8).all(|byte| is_target(byte) == (byte.is_ascii_graphic() && byte != b'#')));
    }

    #[test]
    fn values_are_trimmed_of_spaces_and_tabs_alone() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
    }
}
