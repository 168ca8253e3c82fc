//! `inflightreq`: how many requests may be under way at once, by the policy plugin `concurrency`.

use serde_json::json;
use sluice_plugin_sdk::router::Action;

use super::{policy, source};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("amount", Integer), ("sourcecriterion", source::CRITERION)], Refused);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let amount = kind.integer("amount").unwrap_or(0);
    if amount < 0 {
        return Err(Problem::new(kind.tag_of("amount"), "`amount` must not be negative"));
    }
    let source = source::of(kind, "host")?;
    Ok(policy("concurrency", json!({ "amount": amount, "source": source })))
}
