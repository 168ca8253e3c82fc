//! What the operator sees of the breakers of a policy: for each that has ever moved, where it is, since when and why.

use serde_json::{Map, Value, json};
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::clock;
use sluice_plugin_sdk::policy::state::{Kv, publish};

use crate::machine::Phase;

/// Where the last report is kept, for whichever worker or version writes the next one.
const KEPT: &str = "report";
/// So many breakers are shown; the ones that moved longest ago make room.
const MAX_SHOWN: usize = 64;

/// Notes a transition, in the log and for the admin API.
pub(crate) fn transition(key: &str, phase: Phase, reason: &str, shadow: bool) {
    let (state, name) = (name(phase), if key.is_empty() { "all" } else { key });
    let would = if shadow { " (shadow mode: requests pass)" } else { "" };
    log::warn(&format!("breaker `{name}` is {state}: {reason}{would}"));
    let mut breakers = kept();
    breakers.insert(name.to_owned(), json!({ "state": state, "since-ms": clock::wall_ms(), "reason": reason }));
    while breakers.len() > MAX_SHOWN {
        let since = |value: &Value| value.get("since-ms").and_then(Value::as_u64);
        let Some(oldest) = breakers.iter().min_by_key(|(_, value)| since(value)).map(|(name, _)| name.clone()) else {
            break;
        };
        breakers.remove(&oldest);
    }
    let text = Value::Object(breakers).to_string();
    // What is not kept is shown all the same, only the next report begins anew.
    if let Err(reason) = Kv::set(KEPT, text.as_bytes(), None) {
        log::warn(&format!("the breakers' report cannot be kept: {reason}"));
    }
    publish(&format!(r#"{{"breakers":{text}}}"#));
}

fn kept() -> Map<String, Value> {
    let bytes = Kv::get(KEPT).unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(breakers)) => breakers,
        _ => Map::new(),
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::Open => "open",
        Phase::Recovering => "recovering",
    }
}
