//! The kinds that answer with another address.

use sluice_plugin_sdk::router::{Action, RedirectRegexp, RedirectScheme, SchemeSource};

use super::text;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object, Text};
use crate::tags::tree::Node;

pub(super) const REGEX: Schema = Object(&[("regex", Text), ("replacement", Text), ("permanent", Boolean)], Refused);

pub(super) const SCHEME: Schema = Object(&[("scheme", Text), ("port", Text), ("permanent", Boolean)], Refused);

/// Its pattern sees the scheme of the connection, whatever a proxy before says.
pub(super) fn regex(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::RedirectRegexp(RedirectRegexp {
        pattern: text(kind, "regex"),
        replacement: text(kind, "replacement"),
        templated: false,
        permanent: kind.flag("permanent") == Some(true),
        scheme_from: SchemeSource::Connection,
    }))
}

pub(super) fn scheme(kind: &Node) -> Result<Action, Problem> {
    let scheme = text(kind, "scheme");
    if scheme.is_empty() {
        return Err(Problem::new(kind.tag_of("scheme"), "`scheme` must not be empty"));
    }
    let port = match kind.text("port").filter(|port| !port.is_empty()) {
        Some(port) => Some(port.parse().map_err(|_| {
            Problem::new(kind.tag_of("port"), format!("port `{port}` is not a number from 0 to 65535"))
        })?),
        None => None,
    };
    // A scheme's own port is not written.
    let is_default = matches!((scheme.as_str(), port), ("http", Some(80)) | ("https", Some(443)));
    Ok(Action::RedirectScheme(RedirectScheme {
        port: port.filter(|_| !is_default),
        scheme,
        permanent: kind.flag("permanent") == Some(true),
        except_entrypoint: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::middleware;

    #[test]
    fn a_pattern_and_its_replacement_are_as_written() {
        let options = [r"redirectregex.regex=^http://h\.test/(.*)", "redirectregex.replacement=https://k/${1}"];
        let wanted = RedirectRegexp {
            pattern: r"^http://h\.test/(.*)".into(),
            replacement: "https://k/${1}".into(),
            templated: false,
            permanent: false,
            scheme_from: SchemeSource::Connection,
        };
        assert_eq!(middleware(&options), Some(Action::RedirectRegexp(wanted)));
    }

    #[test]
    fn a_scheme_leaves_its_own_port_out() {
        for (port, wanted) in [("443", None), ("80", Some(80)), ("8443", Some(8443)), ("", None)] {
            let port = format!("redirectscheme.port={port}");
            let options = ["redirectscheme.scheme=https", &port, "redirectscheme.permanent=true"];
            let scheme = "https".to_owned();
            let wanted = RedirectScheme { scheme, port: wanted, permanent: true, except_entrypoint: None };
            assert_eq!(middleware(&options), Some(Action::RedirectScheme(wanted)), "{port}");
        }
        for wrong in [&["redirectscheme.scheme="][..], &["redirectscheme.scheme=https", "redirectscheme.port=web"]] {
            assert_eq!(middleware(wrong), None, "{wrong:?}");
        }
    }
}
