//! `ipallowlist` and its deprecated spelling `ipwhitelist`.

use sluice_plugin_sdk::router::Action;

use super::source::IP_STRATEGY;
use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema =
    Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY), ("rejectstatuscode", Integer)], Refused);

pub(super) const DEPRECATED: Schema = Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY)], Refused);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
