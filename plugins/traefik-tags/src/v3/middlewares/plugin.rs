//! `plugin.<plugin>.<option>`: the policy plugin of that name, its settings as written.

use serde_json::Value;
use sluice_plugin_sdk::router::Action;

use super::policy;
use crate::report::Problem;
use crate::tags::schema::Schema::{self, Free, Map};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Map(&Free);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    match kind.children.as_slice() {
        [plugin] => Ok(policy(&plugin.name, settings(plugin))),
        [] => Err(Problem::new(&kind.tag, "it names no plugin, as in `plugin.rate-limit.average=10`")),
        [_, second, ..] => Err(Problem::new(&second.tag, "it names more than one plugin")),
    }
}

/// A plugin's options as JSON: nested objects of texts, and arrays where keys have indices.
pub(crate) fn settings(node: &Node) -> Value {
    Value::Object(node.children.iter().map(|child| (child.name.clone(), setting(child))).collect())
}

fn setting(node: &Node) -> Value {
    if node.children.is_empty() {
        return node.value.clone().unwrap_or_default().into();
    }
    if node.children.iter().all(|child| child.name.starts_with('[')) {
        let mut items: Vec<_> = node.children.iter().map(|child| (index(&child.name), child)).collect();
        items.sort_by_key(|(at, _)| *at);
        return items.into_iter().map(|(_, child)| setting(child)).collect();
    }
    settings(node)
}

fn index(name: &str) -> u64 {
    name.trim_matches(['[', ']']).parse().unwrap_or(u64::MAX)
}
