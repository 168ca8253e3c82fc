//! `basicauth` and `digestauth`: users and their passwords.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[("users", Text), ("usersfile", Text), ("realm", Text), ("removeheader", Boolean), ("headerfield", Text)],
    Refused,
);

pub(super) fn basic(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}

pub(super) fn digest(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
