//! What the macros that export a plugin share.

/// A text as the bytes of a section. Of the length it is asked for, which is its own.
#[must_use]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => [b'?'; N],
    }
}

/// Writes the version of the crate it is used in into a section of its own, where `sluice plugin inspect` and the admin API
/// find it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_version {
    () => {
        #[used]
        #[unsafe(link_section = "version")]
        static VERSION: [u8; ::core::env!("CARGO_PKG_VERSION").len()] =
            $crate::export::bytes(::core::env!("CARGO_PKG_VERSION"));
    };
}
