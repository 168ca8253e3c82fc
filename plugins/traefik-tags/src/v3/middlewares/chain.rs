//! `chain`: other middlewares in order.

use sluice_plugin_sdk::router::Action;

use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("middlewares", Text)], Refused);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::Chain(kind.list("middlewares")))
}
