//! `inflightreq`: how many requests may be under way at once.

use sluice_plugin_sdk::router::Action;

use super::{source, unsupported};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("amount", Integer), ("sourcecriterion", source::CRITERION)], Refused);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
