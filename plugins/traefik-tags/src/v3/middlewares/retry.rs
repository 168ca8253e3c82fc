//! `retry`: more tries for a request that got no answer, or not the right one.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Duration, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("attempts", Integer),
        ("initialinterval", Duration),
        ("timeout", Duration),
        ("status", Text),
        ("maxrequestbodybytes", Integer),
        ("disableretryonnetworkerror", Boolean),
        ("retrynonidempotentmethod", Boolean),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
