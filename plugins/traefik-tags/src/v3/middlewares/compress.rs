//! `compress`: answers in a shorter coding.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Allowed;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("encodings", Text),
        ("excludedcontenttypes", Text),
        ("includedcontenttypes", Text),
        ("minresponsebodybytes", Integer),
        ("defaultencoding", Text),
    ],
    Allowed,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
