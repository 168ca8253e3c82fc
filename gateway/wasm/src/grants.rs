//! What an operator lets a plugin do beyond what every plugin may.

/// Headers that speak for a person: read as absent without a grant.
const GUARDED: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// What a plugin was granted. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    headers: Vec<String>,
    outbound: Vec<String>,
}

impl Grants {
    /// Reads `headers:NAME` and `outbound:TARGET`; the target `*` is every one.
    ///
    /// # Errors
    /// The first that is neither, in words.
    pub fn parse<'a>(grants: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut parsed = Self::default();
        for grant in grants {
            match grant.split_once(':') {
                Some(("headers", name)) if GUARDED.contains(&name.to_ascii_lowercase().as_str()) => {
                    parsed.headers.push(name.to_ascii_lowercase());
                }
                Some(("outbound", target)) if !target.is_empty() => {
                    parsed.outbound.push(target.trim_end_matches('/').to_owned());
                }
                _ => {
                    let headers = GUARDED.join("`, `headers:");
                    return Err(format!(
                        "`{grant}` is not a grant; there are `headers:{headers}` and `outbound:TARGET`"
                    ));
                }
            }
        }
        Ok(parsed)
    }

    /// Whether a header may be read.
    #[must_use]
    pub fn may_read(&self, header: &str) -> bool {
        let granted = || self.headers.iter().any(|name| name.eq_ignore_ascii_case(header));
        !GUARDED.iter().any(|name| name.eq_ignore_ascii_case(header)) || granted()
    }

    /// Whether requests may be sent to a target, as the plugin writes it.
    #[must_use]
    pub fn may_send(&self, target: &str) -> bool {
        let target = target.trim_end_matches('/');
        self.outbound.iter().any(|granted| granted == "*" || granted.eq_ignore_ascii_case(target))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nothing_is_granted_by_default() {
        let none = Grants::default();
        assert!(none.may_read("X-Tenant"));
        assert!(!none.may_read("Authorization") && !none.may_read("cookie") && !none.may_read("SET-COOKIE"));
        assert!(!none.may_send("auth"));
    }

    #[test]
    fn a_grant_is_for_what_it_names() {
        let some = Grants::parse(["headers:Authorization", "outbound:auth", "outbound:http://10.0.0.7:80/"]).unwrap();
        assert!(some.may_read("authorization") && !some.may_read("cookie"));
        assert!(some.may_send("auth") && some.may_send("http://10.0.0.7:80") && !some.may_send("http://10.0.0.7"));
    }

    #[test]
    fn what_is_no_grant_is_named() {
        for wrong in ["headers:x-tenant", "outbound:", "files", "headers"] {
            let error = Grants::parse([wrong]).unwrap_err();
            assert!(
                error.starts_with(&format!("`{wrong}` is not a grant; there are `headers:authorization`")),
                "{error}"
            );
        }
    }
}
