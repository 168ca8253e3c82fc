//! `ratelimit`: the policy plugin of that name in its v3 mode.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;

use super::{policy, source};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Duration as Time, Integer, Object, Text};
use crate::tags::tree::Node;
use crate::tags::words::{self, Duration};

pub(super) const OPTIONS: Schema = Object(
    &[
        ("average", Integer),
        ("period", Time),
        ("burst", Integer),
        ("sourcecriterion", source::CRITERION),
        ("redis", REDIS),
    ],
    Refused,
);

const REDIS: Schema = Object(
    &[
        ("endpoints", Text),
        ("username", Text),
        ("password", Text),
        ("db", Integer),
        ("poolsize", Integer),
        ("minidleconns", Integer),
        ("maxactiveconns", Integer),
        ("readtimeout", Time),
        ("writetimeout", Time),
        ("dialtimeout", Time),
        ("tls", Object(&[("ca", Text), ("cert", Text), ("key", Text), ("insecureskipverify", Boolean)], Refused)),
    ],
    Refused,
);

/// It limits all the same: a limit that is too wide is better than none, and than a service that is not there.
pub(super) const NOTES: &[(&str, &str)] = &[(
    "redis",
    "`redis` has no effect: each gateway counts by itself, so several let through several times as much; divide \
     `average` and `burst` by their number",
)];

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
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
