//! `Authorization: Digest`, as RFC 2617 has it with MD5, which is what Traefik's users files are made for.
//!
//! A nonce says when it was made and proves that this gateway made it, so none has to be stored; of each nonce in use
//! only the highest count is kept, which a request has to exceed: nothing can be sent a second time.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::users::DigestUsers;

/// A nonce is good for that long; a client then gets another one without being asked for its password.
const LIFETIME_MS: u64 = 300_000;

/// Who may pass, and how nonces are made.
pub(crate) struct Digest {
    pub(crate) users: DigestUsers,
    pub(crate) realm: String,
    /// One for all workers.
    pub(crate) secret: [u64; 2],
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not prove anything.
    Unproven,
    /// It proves who it is with a nonce that is used up.
    Stale,
}

/// A request that has proven who sent it, unless its nonce was used with this count before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) name: String,
    pub(crate) nonce: String,
    pub(crate) count: u64,
}

/// What of the request is part of the proof.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl Digest {
    /// Whether a header proves a user.
    pub(crate) fn check(&self, authorization: &str, asked: Asked<'_>, now_ms: u64) -> Result<Proven, Refusal> {
        let said = parameters(authorization).ok_or(Refusal::Unproven)?;
        let get = |name: &str| said.get(name).map(String::as_str).ok_or(Refusal::Unproven);
        let (name, realm, nonce, uri) = (get("username")?, get("realm")?, get("nonce")?, get("uri")?);
        let (count, cnonce, response) = (get("nc")?, get("cnonce")?, get("response")?);
        let is_md5 = said.get("algorithm").is_none_or(|algorithm| algorithm.eq_ignore_ascii_case("md5"));
        if get("qop")? != "auth" || !is_md5 || realm != self.realm || !asked.is(uri) {
            return Err(Refusal::Unproven);
        }
        // An unknown name is checked like any other, for the time it takes.
        let known = self.users.get(name, realm);
        let secret = known.unwrap_or("00000000000000000000000000000000");
        let request = hex(&Md5::new().chain_update(asked.method).chain_update(":").chain_update(uri).finalize());
        let parts = [secret, nonce, count, cnonce, "auth", &request].join(":");
        let expected = hex(&Md5::digest(parts));
        let fits = bool::from(expected.as_bytes().ct_eq(response.to_ascii_lowercase().as_bytes()));
        if !fits || known.is_none() {
            return Err(Refusal::Unproven);
        }
        let made = self.made_at(nonce).ok_or(Refusal::Stale)?;
        let count = u64::from_str_radix(count, 16).map_err(|_| Refusal::Unproven)?;
        if now_ms.saturating_sub(made) > LIFETIME_MS || made > now_ms {
            return Err(Refusal::Stale);
        }
        Ok(Proven { name: name.to_owned(), nonce: nonce.to_owned(), count })
    }

    /// What asks a client to prove itself.
    pub(crate) fn challenge(&self, stale: bool, now_ms: u64) -> String {
        let (realm, nonce, opaque) = (&self.realm, self.nonce(now_ms), hex(&self.proof(0)));
        let stale = if stale { ", stale=true" } else { "" };
        format!(r#"Digest realm="{realm}", nonce="{nonce}", opaque="{opaque}", algorithm=MD5, qop="auth"{stale}"#)
    }

    fn nonce(&self, now_ms: u64) -> String {
        format!("{now_ms:016x}{}", hex(&self.proof(now_ms)))
    }

    /// When a nonce was made; `None` where it was not made here.
    fn made_at(&self, nonce: &str) -> Option<u64> {
        let (time, proof) = nonce.split_at_checked(16)?;
        let made = u64::from_str_radix(time, 16).ok()?;
        bool::from(hex(&self.proof(made)).as_bytes().ct_eq(proof.as_bytes())).then_some(made)
    }

    /// Hashed inside and out, so that nothing can be appended.
    fn proof(&self, time: u64) -> [u8; 16] {
        let [first, second] = self.secret.map(u64::to_le_bytes);
        let keyed = || Sha256::new().chain_update(first).chain_update(second);
        let inner = keyed().chain_update(time.to_le_bytes()).finalize();
        let outer: [u8; 32] = keyed().chain_update(inner).finalize().into();
        let mut proof = [0; 16];
        proof.iter_mut().zip(outer).for_each(|(to, from)| *to = from);
        proof
    }
}

impl Asked<'_> {
    /// Whether a header speaks of this request. Some clients leave the query out.
    fn is(&self, uri: &str) -> bool {
        match uri.split_once('?') {
            Some((path, query)) => path == self.path && Some(query) == self.query,
            None => uri == self.path,
        }
    }
}

/// `Digest name=value, name="value", …`
fn parameters(authorization: &str) -> Option<BTreeMap<String, String>> {
    let (scheme, mut rest) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let mut said = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        said.insert(name.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(said);
        }
    }
}

/// Up to the closing quote, and what follows.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn digest() -> Digest {
        // MD5 of `ann:traefik:password`.
        let secret = hex(&Md5::digest("ann:traefik:password"));
        let users = DigestUsers::parse(&[format!("ann:traefik:{secret}")], None).unwrap();
        Digest { users, realm: "traefik".into(), secret: [1, 2] }
    }

    fn asked() -> Asked<'static> {
        Asked { method: "GET", path: "/a", query: Some("b=1") }
    }

    /// As a client computes it.
    fn header(nonce: &str, password: &str, uri: &str, count: &str) -> String {
        let secret = hex(&Md5::digest(format!("ann:traefik:{password}")));
        let request = hex(&Md5::digest(format!("GET:{uri}")));
        let response = hex(&Md5::digest(format!("{secret}:{nonce}:{count}:0a4f:auth:{request}")));
        format!(
            r#"Digest username="ann", realm="traefik", nonce="{nonce}", uri="{uri}", qop=auth, nc={count}, cnonce="0a4f", response="{response}", opaque="x""#
        )
    }

    #[test]
    fn the_challenge_can_be_answered() {
        let digest = digest();
        let challenge = parameters(&digest.challenge(false, NOW)).unwrap();
        let nonce = challenge.get("nonce").unwrap();
        for uri in ["/a?b=1", "/a"] {
            let proven = digest.check(&header(nonce, "password", uri, "0000000a"), asked(), NOW + 1_000).unwrap();
            assert_eq!(proven, Proven { name: "ann".into(), nonce: nonce.clone(), count: 10 });
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_computed_as_there() {
        let users = DigestUsers::parse(&["Mufasa:testrealm@host.com:939e7578ed9e3c518a452acee763bce9".into()], None);
        let digest = Digest { users: users.unwrap(), realm: "testrealm@host.com".into(), secret: [1, 2] };
        let header = r#"Digest username="Mufasa", realm="testrealm@host.com",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,
            cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1""#;
        let asked = Asked { method: "GET", path: "/dir/index.html", query: None };
        // The proof is right, the nonce is not ours.
        assert_eq!(digest.check(header, asked, NOW), Err(Refusal::Stale));
        let wrong = header.replace("6629", "6628");
        assert_eq!(digest.check(&wrong, asked, NOW), Err(Refusal::Unproven));
    }

    #[test]
    fn a_nonce_ages_and_cannot_be_made_up() {
        let digest = digest();
        let check = |nonce: &str, now| digest.check(&header(nonce, "password", "/a?b=1", "00000001"), asked(), now);
        let nonce = digest.nonce(NOW);
        assert!(check(&nonce, NOW + LIFETIME_MS).is_ok());
        assert_eq!(check(&nonce, NOW + LIFETIME_MS + 1), Err(Refusal::Stale));
        assert_eq!(check(&nonce.replace('1', "2"), NOW), Err(Refusal::Stale));
        assert_eq!(check("", NOW), Err(Refusal::Stale));
    }

    #[test]
    fn what_proves_nothing_does_not_pass() {
        let digest = digest();
        let nonce = digest.nonce(NOW);
        let right = header(&nonce, "password", "/a?b=1", "00000001");
        for header in [
            String::new(),
            "Basic eDp5".into(),
            "Digest".into(),
            "Digest username".into(),
            header(&nonce, "wrong", "/a?b=1", "00000001"),
            header(&nonce, "password", "/other", "00000001"),
            right.replace("ann", "bob"),
            right.replace("traefik", "other"),
            right.replace("qop=auth", "qop=auth-int"),
            right.replace("nc=00000001", "nc=00000002"),
        ] {
            assert_eq!(digest.check(&header, asked(), NOW), Err(Refusal::Unproven), "{header}");
        }
    }
}
