//! `frontend.rateLimit.*`: every rate set has to grant a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_plugin_sdk::router::Action;

use super::super::frontend::Frontend;
use super::super::options::{Chosen, Scope};
use super::policy;
use crate::report::{Problem, Report};
use crate::tags::words::{self, Duration};

/// One `rateSet.<name>`, as far as it is given.
#[derive(Default)]
struct RateSet<'a> {
    tag: &'a str,
    period: Option<Duration>,
    average: Option<i64>,
    burst: Option<i64>,
}

/// The limit of a frontend, if it has one.
///
/// # Errors
/// An unknown source, or a rate set that is incomplete: the frontend must not be served unlimited.
pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let sets = sets(scope);
    let Some(extractor) = scope.get("rateLimit.extractorFunc") else {
        if let Some(set) = sets.values().next() {
            report.warning(object, set.tag, "without `rateLimit.extractorFunc` there is no limit");
        }
        return Ok(None);
    };
    let source = source(extractor.value).ok_or_else(|| {
        let message = "the source is none of client.ip, request.host, request.header.<Name>";
        Problem::new(extractor.tag, message)
    })?;
    let rates = rates(&sets)?;
    if rates.is_empty() {
        report.warning(object, extractor.tag, "without a `rateLimit.rateSet.<name>` there is no limit");
        return Ok(None);
    }
    Ok(Some(policy("rate-limit", &json!({ "mode": "traefik-v1", "source": source, "rates": rates }))))
}

fn sets<'a>(scope: &Scope<'a>) -> BTreeMap<&'a str, RateSet<'a>> {
    let mut sets: BTreeMap<&str, RateSet<'_>> = BTreeMap::new();
    for (name, Chosen { value, tag }) in scope.all() {
        let Some((set, key)) = name.strip_prefix("rateLimit.rateSet.").and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let set = sets.entry(set).or_default();
        set.tag = tag;
        match key {
            "period" => set.period = words::duration(value),
            "average" => set.average = words::integer(value),
            "burst" => set.burst = words::integer(value),
            _ => {}
        }
    }
    sets
}

pub(super) fn source(extractor: &str) -> Option<Value> {
    match (extractor, extractor.strip_prefix("request.header.")) {
        ("client.ip", _) => Some(json!({ "kind": "client-ip" })),
        ("request.host", _) => Some(json!({ "kind": "host" })),
        (_, Some(name)) if !name.is_empty() => Some(json!({ "kind": "header", "name": name })),
        _ => None,
    }
}

/// One rate for each period: of two sets with the same period the later name counts, as in Traefik.
fn rates(sets: &BTreeMap<&str, RateSet<'_>>) -> Result<Vec<Value>, Problem> {
    let mut rates: Vec<(Duration, Value)> = Vec::new();
    for (name, set) in sets {
        let positive = |number: Option<i64>| number.filter(|number| *number > 0);
        let period = set.period.clone().filter(Duration::is_positive);
        let (Some(period), Some(average), Some(burst)) = (period, positive(set.average), positive(set.burst)) else {
            let message = format!("rate set `{name}` needs a period, an average and a burst above 0");
            return Err(Problem::new(set.tag, message));
        };
        let rate = json!({ "average": average, "period": period.to_json(), "burst": burst });
        rates.retain(|(known, _)| *known != period);
        rates.push((period, rate));
    }
    Ok(rates.into_iter().map(|(_, rate)| rate).collect())
}
