//! `Authorization: Basic`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::remembered::Remembered;
use crate::users::Users;

/// Who may pass.
pub(crate) struct Basic {
    users: Users,
    remembered: Remembered,
}

impl Basic {
    pub(crate) fn new(users: Users, key: [u8; 16]) -> Self {
        Self { users, remembered: Remembered::new(key) }
    }

    /// The user who proves to be one.
    pub(crate) fn check(&mut self, authorization: &str) -> Option<String> {
        let (name, password) = credentials(authorization)?;
        let (hash, is_known) = self.users.get(&name);
        let proof = (is_known && hash.is_slow()).then(|| self.remembered.proof(&name, &password));
        if proof.as_ref().is_some_and(|proof| self.remembered.has(proof)) {
            return Some(name);
        }
        // An unknown name is checked like any other, for the time it takes.
        let fits = hash.verify(&password) & is_known;
        if let Some(proof) = proof.filter(|_| fits) {
            self.remembered.add(proof);
        }
        fits.then_some(name)
    }
}

/// What a header says.
fn credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    fn basic(users: &[&str]) -> Basic {
        let users: Vec<_> = users.iter().map(|&user| user.to_owned()).collect();
        Basic::new(Users::parse(&users, None).unwrap(), [0; 16])
    }

    #[test]
    fn the_right_password_of_a_known_user_passes() {
        let mut basic = basic(&["ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "bob:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"]);
        // The second round finds what the first has remembered.
        for _ in 0..2 {
            assert_eq!(basic.check(&header("ann:password")).as_deref(), Some("ann"));
            assert_eq!(basic.check(&header("bob:password")).as_deref(), Some("bob"));
            for wrong in ["ann:wrong", "bob:wrong", "carl:password", "ann", ":password"] {
                assert_eq!(basic.check(&header(wrong)), None, "{wrong}");
            }
        }
    }

    #[test]
    fn other_headers_do_not_pass() {
        let mut basic = basic(&["ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="]);
        for header in ["", "Basic", "Basic !", "Bearer YW5uOnBhc3N3b3Jk", "Basic /w=="] {
            assert_eq!(basic.check(header), None, "{header}");
        }
        assert_eq!(basic.check("bASIC  YW5uOnBhc3N3b3Jk ").as_deref(), Some("ann"));
    }
}
