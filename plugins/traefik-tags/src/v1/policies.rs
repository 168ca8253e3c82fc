//! Policies of v1 services: `policies.NAME.plugin=PLUGIN` and `policies.NAME.config.KEY=VALUE` declare one,
//! `frontend.policies=NAME,…` attaches it. A name that is declared nowhere here is left to the linker, which knows the
//! ones of the configuration file.

use std::collections::BTreeMap;

use sluice_plugin_sdk::router::{Action, PolicyUse};

use super::options::{Chosen, Options};
use crate::report::Problem;
use crate::tags::tree::{self, Entry};
use crate::v3::plugin_settings;

/// The policies the tags of a service declare.
pub(super) fn declared(options: &Options<'_>) -> BTreeMap<String, Result<Action, Problem>> {
    let mut by_name: BTreeMap<&str, Vec<(&str, Chosen<'_>)>> = BTreeMap::new();
    for (rest, chosen) in options.starting("policies.") {
        let (name, key) = rest.split_once('.').unwrap_or((rest, ""));
        by_name.entry(name).or_default().push((key, chosen));
    }
    by_name.into_iter().map(|(name, keys)| (name.to_owned(), policy(name, &keys))).collect()
}

fn policy(name: &str, keys: &[(&str, Chosen<'_>)]) -> Result<Action, Problem> {
    let mut plugin = None;
    let mut config = Vec::new();
    for (key, chosen) in keys {
        match (*key, key.strip_prefix("config.")) {
            ("plugin", _) => plugin = Some(chosen.value.to_owned()),
            (_, Some(key)) => config.push(Entry { key, value: chosen.value, tag: chosen.tag }),
            _ => return Err(Problem::new(chosen.tag, "a policy has the options `plugin` and `config.<key>`")),
        }
    }
    let tag = keys.first().map_or("", |(_, chosen)| chosen.tag);
    let plugin = plugin.ok_or_else(|| Problem::new(tag, format!("policy `{name}` needs `policies.{name}.plugin`")))?;
    let settings = plugin_settings(&tree::build(config.into_iter())?).to_string();
    Ok(Action::Policy(PolicyUse { plugin, settings }))
}
