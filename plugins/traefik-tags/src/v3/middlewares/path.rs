//! The kinds that change the path.

use sluice_plugin_sdk::router::{Action, Replacement};

use super::text;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object, Text};
use crate::tags::tree::Node;

pub(super) const ADD_PREFIX: Schema = Object(&[("prefix", Text)], Refused);
pub(super) const STRIP_PREFIX: Schema = Object(&[("prefixes", Text), ("forceslash", Boolean)], Refused);
pub(super) const NOTES: &[(&str, &str)] =
    &[("forceslash", "`forceslash` is deprecated and has no effect: a path always begins with `/`")];
pub(super) const STRIP_PREFIX_REGEX: Schema = Object(&[("regex", Text)], Refused);
pub(super) const REPLACE_PATH: Schema = Object(&[("path", Text)], Refused);
pub(super) const REPLACE_PATH_REGEX: Schema = Object(&[("regex", Text), ("replacement", Text)], Refused);

pub(super) fn add_prefix(kind: &Node) -> Result<Action, Problem> {
    match text(kind, "prefix") {
        prefix if prefix.is_empty() => Err(Problem::new(kind.tag_of("prefix"), "`prefix` must not be empty")),
        prefix if prefix.starts_with('/') => Ok(Action::AddPrefix(prefix)),
        prefix => Ok(Action::AddPrefix(format!("/{prefix}"))),
    }
}

/// What is left always begins with `/`, so `forceslash` changes nothing.
pub(super) fn strip_prefix(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::StripPrefix(kind.list("prefixes")))
}

pub(super) fn strip_prefix_regex(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::StripPrefixRegexp(kind.list("regex")))
}

pub(super) fn replace_path(kind: &Node) -> Result<Action, Problem> {
    Ok(Action::ReplacePath(text(kind, "path")))
}

pub(super) fn replace_path_regex(kind: &Node) -> Result<Action, Problem> {
    let pattern = text(kind, "regex").trim().to_owned();
    let replacement = text(kind, "replacement").trim().to_owned();
    Ok(Action::ReplacePathRegexp(Replacement { pattern, replacement }))
}
