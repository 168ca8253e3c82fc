//! `basicauth` and `digestauth`: users and their passwords, checked by the policy plugin `auth`.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;

use super::policy;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[("users", Text), ("usersfile", Text), ("realm", Text), ("removeheader", Boolean), ("headerfield", Text)],
    Refused,
);

pub(super) fn basic(kind: &Node) -> Result<Action, Problem> {
    users(kind, "basic", 1)
}

pub(super) fn digest(kind: &Node) -> Result<Action, Problem> {
    users(kind, "digest", 2)
}

/// Each user has that many colons.
fn users(kind: &Node, which: &str, colons: usize) -> Result<Action, Problem> {
    let users = kind.list("users");
    let file = kind.text("usersfile").filter(|path| !path.is_empty());
    if users.is_empty() && file.is_none() {
        return Err(Problem::new(&kind.tag, "there is no user; give it `users` or a `usersfile`"));
    }
    if let Some(wrong) = malformed(&users, colons) {
        return Err(Problem::new(kind.tag_of("users"), wrong));
    }
    let mut settings = Map::new();
    settings.insert("kind".into(), which.into());
    settings.insert("users".into(), users.into());
    let others = [
        ("users-file", file.map(Value::from)),
        ("realm", kind.text("realm").filter(|realm| !realm.is_empty()).map(Value::from)),
        ("remove-header", kind.flag("removeheader").map(Value::from)),
        ("header-field", kind.text("headerfield").filter(|name| !name.is_empty()).map(Value::from)),
    ];
    settings.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(policy("auth", Value::Object(settings)))
}

/// What is wrong with the first user that is not of the form.
pub(crate) fn malformed(users: &[String], colons: usize) -> Option<String> {
    let form = if colons == 1 { "name:hash" } else { "name:realm:HA1" };
    let wrong = users.iter().find(|user| user.matches(':').count() != colons || user.split(':').any(str::is_empty))?;
    let name = wrong.split(':').next().unwrap_or_default();
    Some(format!("user `{name}` is not of the form `{form}`"))
}
