//! Plugins as files: the default ones as built, variants of them, and the directory a gateway watches.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{replace, target_dir};

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// A default plugin as the build made it, `rate-limit` for example.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn built(name: &str) -> Vec<u8> {
    let file = format!("sluice_{}.wasm", name.replace('-', "_"));
    let path = target_dir().join("plugins/wasm32-wasip2/plugin").join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("read {} ({error}): run `cargo xtask plugins`", path.display()))
}

/// A plugin of `tests/guests` as the build made it.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let path = target_dir().join("plugins/wasm32-wasip2/plugin").join(format!("guest_{}.wasm", name.replace('-', "_")));
    fs::read(&path).unwrap_or_else(|error| panic!("read {} ({error}): run `cargo xtask plugins`", path.display()))
}

/// The same plugin with another digest: a custom section at the end, which nothing reads.
///
/// # Panics
/// Never: the lengths are small.
#[must_use]
pub fn variant(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"variant";
    let name_length = u8::try_from(NAME.len()).expect("a short name");
    let content = [&[name_length], NAME, &number.to_le_bytes()].concat();
    let section_length = u8::try_from(content.len()).expect("a length below 128, one byte in LEB128");
    [component, &[0, section_length], &content].concat()
}

/// A plugin directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at a path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a plugin in place in one step.
    pub fn put(&self, name: &str, component: &[u8]) {
        replace(&self.0.join(format!("{name}.wasm")), component);
    }

    /// Puts a signature beside a plugin.
    pub fn put_signature(&self, name: &str, signature: &str) {
        replace(&self.0.join(format!("{name}.wasm.minisig")), signature.as_bytes());
    }

    /// Takes a signature away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove_signature(&self, name: &str) {
        fs::remove_file(self.0.join(format!("{name}.wasm.minisig"))).expect("remove a signature");
    }

    /// Takes a plugin away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(format!("{name}.wasm"))).expect("remove a plugin");
    }
}
