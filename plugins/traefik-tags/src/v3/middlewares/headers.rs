//! `headers`: headers set or removed, CORS, and the headers that protect browsers.

use sluice_plugin_sdk::router::{Action, HeaderEdit};

use crate::headers::{self, Options};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Integer, Map, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("customrequestheaders", Map(&Text)),
        ("customresponseheaders", Map(&Text)),
        ("accesscontrolallowcredentials", Boolean),
        ("accesscontrolallowheaders", Text),
        ("accesscontrolallowmethods", Text),
        ("accesscontrolalloworiginlist", Text),
        ("accesscontrolalloworiginlistregex", Text),
        ("accesscontrolexposeheaders", Text),
        ("accesscontrolmaxage", Integer),
        ("addvaryheader", Boolean),
        ("allowedhosts", Text),
        ("hostsproxyheaders", Text),
        ("sslproxyheaders", Map(&Text)),
        ("stsseconds", Integer),
        ("stsincludesubdomains", Boolean),
        ("stspreload", Boolean),
        ("forcestsheader", Boolean),
        ("framedeny", Boolean),
        ("customframeoptionsvalue", Text),
        ("contenttypenosniff", Boolean),
        ("browserxssfilter", Boolean),
        ("custombrowserxssvalue", Text),
        ("contentsecuritypolicy", Text),
        ("contentsecuritypolicyreportonly", Text),
        ("publickey", Text),
        ("referrerpolicy", Text),
        ("permissionspolicy", Text),
        ("isdevelopment", Boolean),
        ("sslredirect", Boolean),
        ("ssltemporaryredirect", Boolean),
        ("sslhost", Text),
        ("sslforcehost", Boolean),
        ("featurepolicy", Text),
    ],
    Refused,
);

pub(super) const NOTES: &[(&str, &str)] = &[
    ("sslredirect", "`sslredirect` is deprecated; use the middleware `redirectscheme`, or the entrypoint's redirect"),
    ("ssltemporaryredirect", "`ssltemporaryredirect` is deprecated; use the middleware `redirectscheme`"),
    ("sslhost", "`sslhost` is deprecated; use the middleware `redirectregex`"),
    ("sslforcehost", "`sslforcehost` is deprecated; use the middleware `redirectregex`"),
    ("featurepolicy", "`featurepolicy` is deprecated; use `permissionspolicy`"),
];

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    match headers::read(&mut Below(kind)) {
        Some(headers) => Ok(Action::Headers(headers)),
        None => Err(Problem::new(&kind.tag, "it sets no option that does something")),
    }
}

/// The options below an element, in any letter case.
struct Below<'a>(&'a Node);

impl Options for Below<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        self.0.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn flag(&mut self, name: &str) -> bool {
        self.0.flag(name).unwrap_or(false)
    }

    fn integer(&mut self, name: &str) -> i64 {
        self.0.integer(name).unwrap_or(0)
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        self.0.list(name)
    }

    fn edits(&mut self, name: &str) -> Vec<HeaderEdit> {
        let edit =
            |child: &Node| HeaderEdit { name: child.name.clone(), value: child.value.clone().unwrap_or_default() };
        self.0.below(name).iter().map(edit).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::router::Headers;

    use super::*;
    use crate::testing::middleware;

    fn headers(options: &[&str]) -> Option<Headers> {
        let options: Vec<_> = options.iter().map(|option| format!("headers.{option}")).collect();
        match middleware(&options.iter().map(String::as_str).collect::<Vec<_>>()) {
            Some(Action::Headers(headers)) => Some(headers),
            _ => None,
        }
    }

    fn pairs(edits: &[HeaderEdit]) -> Vec<(&str, &str)> {
        edits.iter().map(|edit| (edit.name.as_str(), edit.value.as_str())).collect()
    }

    #[test]
    fn custom_headers_are_kept_and_come_after_those_that_protect() {
        let options = [
            "customRequestHeaders.x-a=1",
            "customrequestheaders.X-Gone=",
            "customresponseheaders.x-b=2",
            "frameDeny=true",
        ];
        let found = headers(&options).unwrap();
        assert_eq!(pairs(&found.request), [("x-a", "1"), ("X-Gone", "")]);
        assert_eq!(pairs(&found.response), [("X-Frame-Options", "DENY"), ("x-b", "2")]);
        assert!(found.cors.is_none() && found.tls_redirect.is_none() && found.hsts.is_none());
    }

    #[test]
    fn every_protection_has_its_header() {
        for (options, name, value) in [
            (&["framedeny=true", "customframeoptionsvalue=SAMEORIGIN"][..], "X-Frame-Options", "SAMEORIGIN"),
            (&["contenttypenosniff=true"], "X-Content-Type-Options", "nosniff"),
            (&["browserxssfilter=true"], "X-XSS-Protection", "1; mode=block"),
            (&["custombrowserxssvalue=0"], "X-XSS-Protection", "0"),
            (&["contentsecuritypolicy=a"], "Content-Security-Policy", "a"),
            (&["contentsecuritypolicyreportonly=a"], "Content-Security-Policy-Report-Only", "a"),
            (&["publickey=a"], "Public-Key-Pins", "a"),
            (&["referrerpolicy=a"], "Referrer-Policy", "a"),
            (&["permissionspolicy=a"], "Permissions-Policy", "a"),
            (&["featurepolicy=a"], "Feature-Policy", "a"),
        ] {
            assert_eq!(pairs(&headers(options).unwrap().response), [(name, value)], "{options:?}");
        }
    }

    #[test]
    fn transport_security_is_put_together() {
        let options = ["stsseconds=5", "stsincludesubdomains=true", "stspreload=true", "forcestsheader=true"];
        let hsts = headers(&options).unwrap().hsts.unwrap();
        assert_eq!((hsts.value.as_str(), hsts.always), ("max-age=5; includeSubDomains; preload", true));
        let redirect = headers(&["sslredirect=true", "ssltemporaryredirect=true", "sslhost=a"]).unwrap().tls_redirect;
        assert_eq!(
            redirect.map(|found| (found.temporary, found.host, found.force_host)),
            Some((true, Some("a".into()), false))
        );
    }

    #[test]
    fn a_development_setting_takes_out_what_depends_on_the_host() {
        let found =
            headers(&["isdevelopment=true", "allowedhosts=a", "sslredirect=true", "stsseconds=5", "framedeny=true"]);
        let found = found.unwrap();
        assert!(found.allowed_hosts.is_empty() && found.tls_redirect.is_none() && found.hsts.is_none());
        assert_eq!(pairs(&found.response), [("X-Frame-Options", "DENY")]);
    }

    #[test]
    fn cors_is_there_where_one_of_its_options_is() {
        let cors = headers(&["accesscontrolalloworiginlist=a, b", "accesscontrolmaxage=5"]).unwrap().cors.unwrap();
        assert_eq!((cors.origins, cors.max_age, cors.credentials), (vec!["a".to_owned(), "b".to_owned()], 5, false));
        assert!(headers(&["addvaryheader=true"]).unwrap().cors.is_some());
    }

    #[test]
    fn nothing_that_does_something_is_an_error() {
        assert_eq!(headers(&["framedeny=false"]), None);
    }
}
