//! `circuitbreaker`: no requests for a service that fails, by the policy plugin `circuit-breaker`.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;
use sluice_policy_kit::expression::Expression;

use super::policy;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Duration as Time, Integer, Object, Text};
use crate::tags::tree::Node;
use crate::tags::words::{self, Duration};

pub(super) const OPTIONS: Schema = Object(
    &[
        ("expression", Text),
        ("checkperiod", Time),
        ("fallbackduration", Time),
        ("recoveryduration", Time),
        ("responsecode", Integer),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let expression = kind.text("expression").unwrap_or_default();
    if let Err(message) = Expression::parse(expression) {
        return Err(Problem::new(kind.tag_of("expression"), message));
    }
    let mut settings = Map::new();
    settings.insert("mode".into(), "expression".into());
    settings.insert("expression".into(), expression.into());
    let times = [
        ("checkperiod", "check-period"),
        ("fallbackduration", "fallback-duration"),
        ("recoveryduration", "recovery-duration"),
    ];
    for (option, setting) in times {
        let Some(time) = kind.text(option).and_then(words::duration) else { continue };
        if time.is_negative() {
            return Err(Problem::new(kind.tag_of(option), format!("`{option}` must not be negative")));
        }
        if Duration::is_positive(&time) {
            settings.insert(setting.into(), time.to_json());
        }
    }
    match kind.integer("responsecode").unwrap_or(0) {
        0 => {}
        code @ 200..=599 => {
            settings.insert("response-code".into(), code.into());
        }
        code => {
            let message = format!("`responsecode` is {code} and has to be a status from 200 to 599");
            return Err(Problem::new(kind.tag_of("responsecode"), message));
        }
    }
    Ok(policy("circuit-breaker", Value::Object(settings)))
}
