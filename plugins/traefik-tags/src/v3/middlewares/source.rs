//! What requests are counted by: `sourcecriterion` and `ipstrategy`, which several kinds have.

use serde_json::{Map, Value, json};
use sluice_policy_kit::ip::Ranges;

use crate::report::Problem;
use crate::tags::schema::Bare::{Allowed, Refused};
use crate::tags::schema::Schema::{self, Boolean, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const IP_STRATEGY: Schema =
    Object(&[("depth", Integer), ("excludedips", Text), ("ipv6subnet", Integer)], Allowed);

pub(super) const CRITERION: Schema =
    Object(&[("ipstrategy", IP_STRATEGY), ("requestheadername", Text), ("requesthost", Boolean)], Refused);

/// What requests are counted by; by values of the kind `default` where nothing is said.
pub(super) fn of(kind: &Node, default: &str) -> Result<Value, Problem> {
    let Some(criterion) = kind.child("sourcecriterion") else { return Ok(json!({ "kind": default })) };
    let strategy = criterion.child("ipstrategy");
    let header = criterion.text("requestheadername").filter(|name| !name.is_empty());
    let host = criterion.flag("requesthost") == Some(true);
    if u8::from(strategy.is_some()) + u8::from(header.is_some()) + u8::from(host) > 1 {
        return Err(Problem::new(&criterion.tag, "`sourcecriterion` has more than one kind"));
    }
    Ok(match (header, strategy) {
        (Some(name), _) => json!({ "kind": "header", "name": name }),
        (None, _) if host => json!({ "kind": "host" }),
        (None, Some(strategy)) => match self::strategy(strategy)? {
            Value::Object(options) if options.is_empty() => json!({ "kind": "client-ip" }),
            options => json!({ "kind": "client-ip", "ipstrategy": options }),
        },
        (None, None) => json!({ "kind": default }),
    })
}

/// The options of `ipstrategy`.
pub(super) fn strategy(node: &Node) -> Result<Value, Problem> {
    let mut options = Map::new();
    for (name, most) in [("depth", 1_000), ("ipv6subnet", 128)] {
        let Some(number) = node.integer(name) else { continue };
        if !(0..=most).contains(&number) {
            return Err(Problem::new(node.tag_of(name), format!("`{name}` has to be between 0 and {most}")));
        }
        if number > 0 {
            options.insert(name.into(), number.into());
        }
    }
    let excluded = node.list("excludedips");
    if let Err(message) = Ranges::parse(excluded.iter().map(String::as_str)) {
        return Err(Problem::new(node.tag_of("excludedips"), message));
    }
    if !excluded.is_empty() {
        options.insert("excludedips".into(), excluded.into());
    }
    Ok(Value::Object(options))
}
