//! Names and what proves them, from settings and from a file.

use std::collections::BTreeMap;

use crate::hash::Hash;

/// Users of basic authentication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Users {
    by_name: BTreeMap<String, Hash>,
    /// Checked for names that are not there, so that a guess takes as long as one that is.
    stand_in: Hash,
}

/// Users of digest authentication: what is hashed of name, realm and password, in lower-case hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DigestUsers(BTreeMap<(String, String), String>);

/// Lines of the file, then the settings, which win. Each has its place for the operator, who must not find what a file
/// says repeated somewhere.
fn lines<'a>(settings: &'a [String], file: Option<&'a str>) -> impl Iterator<Item = (String, &'a str)> {
    let of_file = file.unwrap_or_default().lines().zip(1_usize..);
    let of_file = of_file.map(|(line, number)| (format!("line {number} of the users' file"), line.trim()));
    let of_file = of_file.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let name = |line: &'a str| line.split(':').next().unwrap_or_default();
    of_file.chain(settings.iter().map(move |line| (format!("user `{}`", name(line)), line.trim())))
}

impl Users {
    /// Reads `name:hash`.
    ///
    /// # Errors
    /// The first line that is something else, or no user at all.
    pub(crate) fn parse(settings: &[String], file: Option<&str>) -> Result<Self, String> {
        let mut by_name = BTreeMap::new();
        for (place, line) in lines(settings, file) {
            let (name, hash) = match line.split_once(':') {
                Some((name, hash)) if !name.is_empty() && !hash.contains(':') => (name, hash),
                _ => return Err(format!("{place} is not of the form `name:hash`")),
            };
            let hash = Hash::parse(hash).map_err(|reason| format!("{place}: {reason}"))?;
            by_name.insert(name.to_owned(), hash);
        }
        let stand_in = by_name.values().max_by_key(|hash| hash.cost()).cloned();
        let stand_in = stand_in.ok_or("there is no user; give `users` or `users-file`")?;
        Ok(Self { by_name, stand_in: if stand_in.is_slow() { stand_in } else { Hash::cheapest() } })
    }

    /// The hash to check for a name, and whether a match means anything.
    pub(crate) fn get(&self, name: &str) -> (&Hash, bool) {
        self.by_name.get(name).map_or((&self.stand_in, false), |hash| (hash, true))
    }
}

impl DigestUsers {
    /// Reads `name:realm:HA1`.
    ///
    /// # Errors
    /// The first line that is something else, or no user at all.
    pub(crate) fn parse(settings: &[String], file: Option<&str>) -> Result<Self, String> {
        let mut users = BTreeMap::new();
        for (place, line) in lines(settings, file) {
            let mut parts = line.split(':');
            let (Some(name), Some(realm), Some(secret), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(format!("{place} is not of the form `name:realm:HA1`"));
            };
            if secret.len() != 32 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(format!("{place}: its HA1 is not 32 hexadecimal digits"));
            }
            users.insert((name.to_owned(), realm.to_owned()), secret.to_ascii_lowercase());
        }
        if users.is_empty() {
            return Err("there is no user; give `users` or `users-file`".to_owned());
        }
        Ok(Self(users))
    }

    /// What proves a name in a realm.
    pub(crate) fn get(&self, name: &str, realm: &str) -> Option<&str> {
        self.0.get(&(name.to_owned(), realm.to_owned())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn settings_win_over_the_file() {
        let file = format!("# people\nann:{SHA}\n\nbob:$1$x$y\n");
        let users = Users::parse(&lines(&[&format!("bob:{SHA}")]), Some(&file)).unwrap();
        assert_eq!(users.get("bob"), (&Hash::parse(SHA).unwrap(), true));
        assert_eq!(users.get("ann"), (&Hash::parse(SHA).unwrap(), true));
        assert!(!users.get("carl").1);
    }

    #[test]
    fn an_unknown_name_costs_what_the_dearest_one_costs() {
        let dear = "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        let users = Users::parse(&lines(&[&format!("ann:{SHA}"), &format!("bob:{dear}")]), None).unwrap();
        assert_eq!(users.get("carl"), (&Hash::parse(dear).unwrap(), false));
    }

    #[test]
    fn malformed_lines_are_named_and_secrets_are_not() {
        for (settings, file, expected) in [
            (&["ann"][..], None, "user `ann` is not of the form `name:hash`"),
            (&["ann:a:b"], None, "user `ann` is not of the form `name:hash`"),
            (&["ann:plain"], None, "user `ann`: its hash is none of"),
            (&[], Some("ok:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nroot:secret"), "line 2 of the users' file: its hash"),
            (&[], Some("\n# nobody\n"), "there is no user"),
            (&[], None, "there is no user"),
        ] {
            let error = Users::parse(&lines(settings), file).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn digest_users_have_a_realm() {
        let users = DigestUsers::parse(&lines(&["ann:traefik:A1B2C3D4A1B2C3D4A1B2C3D4A1B2C3D4"]), None).unwrap();
        assert_eq!(users.get("ann", "traefik"), Some("a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4"));
        assert_eq!(users.get("ann", "other"), None);
        assert!(DigestUsers::parse(&lines(&["ann:traefik:x"]), None).unwrap_err().contains("32 hexadecimal"));
        assert!(DigestUsers::parse(&lines(&["ann:x"]), None).unwrap_err().contains("name:realm:HA1"));
    }
}
