//! What requests are counted by: `sourcecriterion` and `ipstrategy`, which several kinds have.

use serde_json::{Value, json};

use crate::report::Problem;
use crate::tags::schema::Bare::{Allowed, Refused};
use crate::tags::schema::Schema::{self, Boolean, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const IP_STRATEGY: Schema =
    Object(&[("depth", Integer), ("excludedips", Text), ("ipv6subnet", Integer)], Allowed);

pub(super) const CRITERION: Schema =
    Object(&[("ipstrategy", IP_STRATEGY), ("requestheadername", Text), ("requesthost", Boolean)], Refused);

/// What requests are counted by; the client's address where nothing is said.
pub(super) fn of(kind: &Node) -> Result<Value, Problem> {
    let Some(criterion) = kind.child("sourcecriterion") else { return Ok(json!({ "kind": "client-ip" })) };
    let strategy = criterion.child("ipstrategy");
    let header = criterion.text("requestheadername").filter(|name| !name.is_empty());
    let host = criterion.flag("requesthost") == Some(true);
    if u8::from(strategy.is_some()) + u8::from(header.is_some()) + u8::from(host) > 1 {
        return Err(Problem::new(&criterion.tag, "`sourcecriterion` has more than one kind"));
    }
    if let Some(option) = strategy.and_then(|strategy| strategy.children.first()) {
        return Err(Problem::new(&option.tag, "options of `ipstrategy` are not supported yet"));
    }
    Ok(match header {
        Some(name) => json!({ "kind": "header", "name": name }),
        None if host => json!({ "kind": "host" }),
        None => json!({ "kind": "client-ip" }),
    })
}
