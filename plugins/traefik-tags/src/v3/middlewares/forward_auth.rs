//! `forwardauth`: another server decides who may pass.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("address", Text),
        ("trustforwardheader", Boolean),
        ("authresponseheaders", Text),
        ("authresponseheadersregex", Text),
        ("authrequestheaders", Text),
        ("addauthcookiestoresponse", Text),
        ("headerfield", Text),
        ("forwardbody", Boolean),
        ("maxbodysize", Integer),
        ("maxresponsebodysize", Integer),
        ("preservelocationheader", Boolean),
        ("preserverequestmethod", Boolean),
        ("authsigninurl", Text),
        ("tls", Object(&[("ca", Text), ("cert", Text), ("key", Text), ("insecureskipverify", Boolean)], Refused)),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
