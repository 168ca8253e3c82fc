//! `contenttype`: a missing `Content-Type` is guessed.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Allowed;
use crate::tags::schema::Schema::{self, Boolean, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("autodetect", Boolean)], Allowed);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
