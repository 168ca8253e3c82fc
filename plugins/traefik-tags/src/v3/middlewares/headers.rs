//! `headers`: headers set or removed, CORS, and the headers that protect browsers.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
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

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
