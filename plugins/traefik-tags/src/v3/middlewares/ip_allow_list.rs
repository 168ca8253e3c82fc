//! `ipallowlist` and its deprecated spelling `ipwhitelist`: the policy plugin `ip-allow-list`.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;
use sluice_policy_kit::ip::Ranges;
use sluice_policy_kit::status::reason_phrase;

use super::policy;
use super::source::{self, IP_STRATEGY};
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema =
    Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY), ("rejectstatuscode", Integer)], Refused);

pub(super) const DEPRECATED: Schema = Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY)], Refused);

/// The empty option is the kind itself.
pub(super) const NOTES: &[(&str, &str)] = &[("", "`ipwhitelist` is deprecated; use `ipallowlist`")];

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let ranges = kind.list("sourcerange");
    match Ranges::parse(ranges.iter().map(String::as_str)) {
        Ok(checked) if checked.is_empty() => {
            return Err(Problem::new(&kind.tag, "`sourcerange` is empty; name the addresses that may pass"));
        }
        Ok(_) => {}
        Err(message) => return Err(Problem::new(kind.tag_of("sourcerange"), message)),
    }
    let mut settings = Map::new();
    settings.insert("source-range".into(), ranges.into());
    if let Some(strategy) = kind.child("ipstrategy") {
        settings.insert("ipstrategy".into(), source::strategy(strategy)?);
    }
    if let Some(status) = kind.integer("rejectstatuscode").filter(|status| *status != 0) {
        let known = u16::try_from(status).is_ok_and(|status| status >= 200 && !reason_phrase(status).is_empty());
        if !known {
            let message = format!("`rejectstatuscode` is {status}, which is no status");
            return Err(Problem::new(kind.tag_of("rejectstatuscode"), message));
        }
        settings.insert("reject-status-code".into(), status.into());
    }
    Ok(policy("ip-allow-list", Value::Object(settings)))
}
