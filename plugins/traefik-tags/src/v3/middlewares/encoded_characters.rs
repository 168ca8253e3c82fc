//! `encodedcharacters`: encodings in the path that are refused unless allowed.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("allowencodedslash", Boolean),
        ("allowencodedbackslash", Boolean),
        ("allowencodednullcharacter", Boolean),
        ("allowencodedsemicolon", Boolean),
        ("allowencodedpercent", Boolean),
        ("allowencodedquestionmark", Boolean),
        ("allowencodedhash", Boolean),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
