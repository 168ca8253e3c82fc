//! What a component says of itself, beside what it does.

use wasmparser::{Parser, Payload};

/// The custom section with the plugin's own version, as other tools write and read it, too.
const VERSION: &str = "version";
/// A version is a word; what is longer is none.
const MOST_BYTES: usize = 64;

/// The plugin's own version, where it has one: of the component, or else of the first module in it.
pub(crate) fn version(component: &[u8]) -> Option<String> {
    let sections = Parser::new(0).parse_all(component).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::CustomSection(section) if section.name() == VERSION => Some(section.data()),
        _ => None,
    });
    let text = std::str::from_utf8(sections.last()?).ok()?.trim();
    let is_word = !text.is_empty() && text.len() <= MOST_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of custom sections.
    fn component(sections: &[(&str, &str)]) -> Vec<u8> {
        let length = |length: usize| u8::try_from(length).unwrap_or_default();
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for (name, text) in sections {
            bytes.extend([0, length(1 + name.len() + text.len()), length(name.len())]);
            bytes.extend([name.as_bytes(), text.as_bytes()].concat());
        }
        bytes
    }

    #[test]
    fn a_version_is_a_word_in_a_section_of_its_own() {
        let found = |text: &str| version(&component(&[("name", "x"), (VERSION, text), ("variant", "1")]));
        assert_eq!(found("1.2.3-beta+7"), Some("1.2.3-beta+7".to_owned()));
        for none in ["", "1 2", "1\u{1b}", "é", &"1".repeat(65)] {
            assert_eq!(found(none), None, "{none:?}");
        }
        assert_eq!(version(&component(&[])), None);
        assert_eq!(version(b"no component"), None);
    }
}
