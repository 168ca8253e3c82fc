//! The kinds that answer with another address.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object, Text};
use crate::tags::tree::Node;

pub(super) const REGEX: Schema = Object(&[("regex", Text), ("replacement", Text), ("permanent", Boolean)], Refused);

pub(super) const SCHEME: Schema = Object(&[("scheme", Text), ("port", Text), ("permanent", Boolean)], Refused);

pub(super) fn regex(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}

pub(super) fn scheme(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
