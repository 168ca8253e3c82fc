//! `errors`: other pages in place of answers with some statuses, by the policy plugin `degrade`.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;
use sluice_policy_kit::status::Statuses;

use super::policy;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Map as Table, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("status", Text),
        ("service", Text),
        ("query", Text),
        ("statusrewrites", Table(&Integer)),
        ("errorrequestheaders", Text),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let status = kind.list("status");
    let checked = Statuses::parse(status.iter().map(String::as_str));
    match checked {
        Ok(statuses) if statuses.is_empty() => {
            return Err(Problem::new(&kind.tag, "it has no `status`, such as `500-599`"));
        }
        Ok(_) => {}
        Err(message) => return Err(Problem::new(kind.tag_of("status"), message)),
    }
    let Some(service) = kind.text("service").filter(|service| !service.is_empty()) else {
        return Err(Problem::new(&kind.tag, "it has no `service` that answers instead"));
    };
    let mut rewrites = Map::new();
    for node in kind.below("statusrewrites") {
        let to = node.value.as_deref().and_then(crate::tags::words::integer);
        let to = to.filter(|status| (200..=599).contains(status));
        let to = to.ok_or_else(|| Problem::new(&node.tag, "a status is rewritten to one from 200 to 599"))?;
        Statuses::parse([node.name.as_str()]).map_err(|message| Problem::new(&node.tag, message))?;
        rewrites.insert(node.name.clone(), to.into());
    }
    Ok(policy(
        "degrade",
        settings(&status, service, kind.text("query").unwrap_or_default(), rewrites, kind.list("errorrequestheaders")),
    ))
}

/// The settings of `degrade` that make it do what Traefik does and nothing else.
pub(crate) fn settings(
    status: &[String],
    service: &str,
    query: &str,
    rewrites: Map<String, Value>,
    headers: Vec<String>,
) -> Value {
    let query = if query.starts_with('/') { query.to_owned() } else { format!("/{query}") };
    let mut settings = Map::new();
    settings.insert("status".into(), status.into());
    settings.insert("service".into(), service.into());
    settings.insert("query".into(), query.into());
    settings.insert("switch".into(), false.into());
    settings.insert("mark".into(), "".into());
    if !rewrites.is_empty() {
        settings.insert("status-rewrites".into(), rewrites.into());
    }
    if !headers.is_empty() {
        settings.insert("error-request-headers".into(), headers.into());
    }
    Value::Object(settings)
}
