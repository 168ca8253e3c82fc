//! `circuitbreaker`: no requests for a service that fails.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Duration, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("expression", Text),
        ("checkperiod", Duration),
        ("fallbackduration", Duration),
        ("recoveryduration", Duration),
        ("responsecode", Integer),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
