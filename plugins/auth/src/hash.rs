//! Hashes of passwords as `htpasswd` writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

/// A password's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// `$apr1$` and `$1$`: a thousand rounds of MD5.
    Md5Crypt { magic: &'static str, salt: String, digest: String },
    /// `{SHA}`, without a salt.
    Sha([u8; 20]),
    /// `$2a$`, `$2b$`, `$2x$`, `$2y$`: as expensive as it says.
    Bcrypt { text: String, cost: u32 },
}

/// What a guess at an unknown name costs where no known one costs more.
const CHEAPEST: &str = "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=";

/// Where the bytes of an MD5 go in its text, three to four letters; the last byte stands alone.
const MD5_ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Hash {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong; the text itself is not repeated, for it may come from a file of secrets.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(digest) = text.strip_prefix("{SHA}") {
            let bytes = STANDARD.decode(digest).ok().and_then(|bytes| bytes.try_into().ok());
            return bytes.map(Self::Sha).ok_or("its {SHA} hash is not 20 bytes in base64");
        }
        for magic in ["$apr1$", "$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                let (salt, digest) = rest.split_once('$').ok_or("its MD5 hash has no salt")?;
                let (salt, digest) = (salt.chars().take(8).collect(), digest.to_owned());
                return Ok(Self::Md5Crypt { magic, salt, digest });
            }
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|magic| text.starts_with(magic)) {
            let cost = text.get(4..6).and_then(|cost| cost.parse().ok()).filter(|cost| (4..=31).contains(cost));
            let cost = cost.filter(|_| text.len() == 60).ok_or("its bcrypt hash is malformed")?;
            return Ok(Self::Bcrypt { text: text.to_owned(), cost });
        }
        Err("its hash is none of `$apr1$`, `$1$`, `{SHA}` and bcrypt's `$2a$`, `$2b$`, `$2x$`, `$2y$`")
    }

    /// One that matches nothing that anybody has.
    pub(crate) fn cheapest() -> Self {
        Self::parse(CHEAPEST).unwrap_or(Self::Sha([0; 20]))
    }

    /// Whether it is the hash of a password. How long that takes depends on the kind and the salt alone.
    pub(crate) fn verify(&self, password: &str) -> bool {
        match self {
            Self::Sha(digest) => Sha1::digest(password).as_slice().ct_eq(digest).into(),
            Self::Md5Crypt { magic, salt, digest } => {
                md5_crypt(magic, salt, password).as_bytes().ct_eq(digest.as_bytes()).into()
            }
            Self::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
        }
    }

    /// What checking costs, to be compared.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Sha(_) => 0,
            Self::Md5Crypt { .. } => 1,
            Self::Bcrypt { cost, .. } => *cost,
        }
    }

    /// Whether checking takes so long that a success is worth remembering.
    pub(crate) fn is_slow(&self) -> bool {
        self.cost() > 0
    }
}

/// The digest part of Apache's and FreeBSD's MD5 hash.
fn md5_crypt(magic: &str, salt: &str, password: &str) -> String {
    let (password, salt) = (password.as_bytes(), salt.as_bytes());
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for length in (0..password.len()).step_by(16) {
        let rest = password.len() - length;
        outer.update(inner.get(..rest.min(16)).unwrap_or_default());
    }
    let mut bits = password.len();
    while bits > 0 {
        let letter = if bits & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() };
        outer.update(letter);
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1_000_u32 {
        digest = md5_round(round, password, salt, &digest);
    }
    md5_text(&digest)
}

fn md5_round(round: u32, password: &[u8], salt: &[u8], digest: &[u8]) -> md5::digest::Output<Md5> {
    let odd = round & 1 == 1;
    let mut hash = Md5::new().chain_update(if odd { password } else { digest });
    if !round.is_multiple_of(3) {
        hash.update(salt);
    }
    if !round.is_multiple_of(7) {
        hash.update(password);
    }
    hash.chain_update(if odd { digest } else { password }).finalize()
}

fn md5_text(digest: &[u8]) -> String {
    let byte = |at: usize| u32::from(digest.get(at).copied().unwrap_or_default());
    let mut text = String::with_capacity(22);
    let mut letters = |mut value: u32, count: u32| {
        for _ in 0..count {
            text.push(char::from(LETTERS.get((value & 63) as usize).copied().unwrap_or(b'.')));
            value >>= 6;
        }
    };
    for [high, middle, low] in MD5_ORDER {
        letters(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    letters(byte(11), 2);
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn verify(hash: &str, password: &str) -> bool {
        Hash::parse(hash).unwrap().verify(password)
    }

    #[test]
    fn known_hashes_are_recognised() {
        // `openssl passwd -apr1 -salt …`, `openssl passwd -1 -salt …`, `htpasswd -nbs`, and bcrypt's own vectors.
        for (hash, password) in [
            ("$apr1$TqI9WECO$KCl8NZsiPI2c4.wTsa4M41", "test"),
            ("$apr1$FCuCvvMO$lUC9mUlHMG5ziSQ4s5q99/", "a password that is longer than sixteen bytes"),
            ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "password"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password"),
            ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", ""),
            ("$2y$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"),
        ] {
            assert!(verify(hash, password), "{hash}");
            assert!(!verify(hash, "other"), "{hash}");
            assert!(!verify(hash, &format!("{password} ")), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "plain", "{SHA}x", "$apr1$x", "$2y$99$x", "$5$rounds=5000$x$y", "$2a$06$short"] {
            assert!(Hash::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_has_the_cheapest() {
        assert_eq!(Hash::parse(CHEAPEST), Ok(Hash::cheapest()));
    }
}
