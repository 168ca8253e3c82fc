//! Signatures as `minisign -l` makes them, by keys that live as long as a test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};

/// Somebody who signs plugin files.
#[derive(Debug)]
pub struct Signer(KeyPair);

impl Signer {
    /// Somebody new.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).expect("make a key"))
    }

    /// The public key as in the second line of `minisign.pub`.
    #[must_use]
    pub fn public_key(&self) -> String {
        STANDARD.encode([b"Ed", self.id(), self.0.public_key_raw()].concat())
    }

    /// What tells the key from others.
    fn id(&self) -> &[u8] {
        &self.0.public_key_raw()[..8]
    }

    /// The signature of a file of that name, made at that time.
    #[must_use]
    pub fn sign(&self, file: &str, content: &[u8], timestamp: u64) -> String {
        let signature = self.raw(content);
        let comment = format!("timestamp:{timestamp}\tfile:{file}");
        let both = self.raw(&[&signature, comment.as_bytes()].concat());
        let signature = STANDARD.encode([b"Ed", self.id(), &signature].concat());
        format!("untrusted comment: a test\n{signature}\ntrusted comment: {comment}\n{}\n", STANDARD.encode(both))
    }

    fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).expect("sign")
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}
