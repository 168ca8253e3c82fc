//! `buffering`: whole requests and answers, limits on their size, and tries in place of a failed one.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("maxrequestbodybytes", Integer),
        ("memrequestbodybytes", Integer),
        ("maxresponsebodybytes", Integer),
        ("memresponsebodybytes", Integer),
        ("retryexpression", Text),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
