//! `ratelimit`: the policy plugin of that name in its v3 mode.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;

use super::{policy, source};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Duration as Time, Free, Integer, Object};
use crate::tags::tree::Node;
use crate::tags::words::{self, Duration};

pub(super) const OPTIONS: Schema = Object(
    &[
        ("average", Integer),
        ("period", Time),
        ("burst", Integer),
        ("sourcecriterion", source::CRITERION),
        ("redis", Free),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    if let Some(redis) = kind.child("redis") {
        return Err(Problem::new(&redis.tag, "rate limits shared through Redis are not supported"));
    }
    let average = kind.integer("average").unwrap_or(0);
    if average < 0 {
        return Err(Problem::new(kind.tag_of("average"), "`average` must not be negative"));
    }
    let mut settings = Map::new();
    settings.insert("mode".into(), "traefik-v3".into());
    settings.insert("average".into(), average.into());
    settings.insert("burst".into(), kind.integer("burst").unwrap_or(1).max(1).into());
    if let Some(period) = period(kind)? {
        settings.insert("period".into(), period.to_json());
    }
    settings.insert("source".into(), source::of(kind, "client-ip")?);
    Ok(policy("rate-limit", Value::Object(settings)))
}

/// A period of nothing means the default one.
fn period(kind: &Node) -> Result<Option<Duration>, Problem> {
    match kind.text("period").and_then(words::duration) {
        Some(period) if period.is_negative() => {
            Err(Problem::new(kind.tag_of("period"), "`period` must not be negative"))
        }
        period => Ok(period.filter(Duration::is_positive)),
    }
}
