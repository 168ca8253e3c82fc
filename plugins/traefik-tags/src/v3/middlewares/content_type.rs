//! `contenttype`: a missing `Content-Type` is guessed.

use sluice_plugin_sdk::router::Action;

use crate::report::Problem;
use crate::tags::schema::Bare::Allowed;
use crate::tags::schema::Schema::{self, Boolean, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("autodetect", Boolean)], Allowed);

pub(super) const NOTES: &[(&str, &str)] =
    &[("autodetect", "`autodetect` is deprecated and has no effect: the middleware itself asks for the guess")];

/// It is the middleware itself that asks for the guess; `autodetect` is deprecated and says nothing more.
pub(super) fn action(_kind: &Node) -> Result<Action, Problem> {
    Ok(Action::ContentType)
}
