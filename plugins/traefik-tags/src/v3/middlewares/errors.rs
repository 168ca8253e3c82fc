//! `errors`: other pages in place of answers with some statuses.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Map, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("status", Text),
        ("service", Text),
        ("query", Text),
        ("statusrewrites", Map(&Integer)),
        ("errorrequestheaders", Text),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
