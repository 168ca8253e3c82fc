//! `grpcweb`: gRPC-Web for services that speak gRPC.

use sluice_plugin_sdk::router::Action;

use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("alloworigins", Text)], Refused);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::GrpcWeb(kind.list("alloworigins")))
}
