//! Stickiness cookies, named as Traefik names them, so that the cookies browsers hold stay good.

use sha1::{Digest, Sha1};
use sluice_plugin_sdk::router::{CookieValue, SameSite, StickyCookie};

/// A cookie that lasts until the browser is closed, for the whole site.
pub(crate) fn cookie(name: String, value: CookieValue) -> StickyCookie {
    StickyCookie {
        name,
        value,
        secure: false,
        http_only: false,
        same_site: None,
        max_age: None,
        path: "/".to_owned(),
        domain: None,
    }
}

/// The name given, or one made of the service's name.
pub(crate) fn name(given: Option<&str>, service: &str) -> String {
    match given.filter(|name| !name.is_empty()) {
        Some(name) => name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect(),
        None => derived(service),
    }
}

/// `_` and the first five hexadecimal digits of a SHA-1.
fn derived(service: &str) -> String {
    let digest = Sha1::digest(format!("_TRAEFIK_BACKEND_{service}"));
    let mut hexadecimal: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    hexadecimal.truncate(5);
    format!("_{hexadecimal}")
}

/// Whether a cookie's name may have this character (RFC 6265: a token).
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// `none`, `lax` or `strict`; anything else is left to the browser, as in Traefik.
pub(crate) fn same_site(text: &str) -> Option<SameSite> {
    match text {
        "none" => Some(SameSite::None),
        "lax" => Some(SameSite::Lax),
        "strict" => Some(SameSite::Strict),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_derived() {
        assert_eq!(name(Some("my cookie;x"), "web"), "my_cookie_x");
        // printf %s _TRAEFIK_BACKEND_backend-web | sha1sum
        assert_eq!(name(None, "backend-web"), "_40e28");
        assert_eq!(name(Some(""), "web@consulcatalog"), name(None, "web@consulcatalog"));
    }
}
