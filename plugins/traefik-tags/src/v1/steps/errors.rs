//! `frontend.errors.<name>.*`: other pages in place of answers with some statuses, each by a use of the policy plugin
//! `degrade`. A page that cannot work is left out and the frontend stays.

use std::collections::BTreeMap;

use serde_json::Map;
use sluice_plugin_sdk::router::Step;
use sluice_policy_kit::status::Statuses;

use super::super::frontend::Frontend;
use super::super::options::Chosen;
use super::{named, policy};
use crate::report::{Problem, Report};
use crate::tags::words;
use crate::v3::error_pages;

#[derive(Default)]
struct Page<'a> {
    tag: &'a str,
    status: Option<Chosen<'a>>,
    backend: Option<Chosen<'a>>,
    query: &'a str,
}

/// One step for each page, the first name outermost.
pub(in super::super) fn steps(frontend: &Frontend<'_>, report: &mut Report) -> Vec<Step> {
    let mut pages: BTreeMap<&str, Page<'_>> = BTreeMap::new();
    for (name, chosen) in frontend.scope.all() {
        let Some((page, key)) = name.strip_prefix("errors.").and_then(|rest| rest.split_once('.')) else { continue };
        let page = pages.entry(page).or_default();
        page.tag = chosen.tag;
        match key {
            "status" => page.status = Some(chosen),
            "backend" => page.backend = Some(chosen),
            "query" => page.query = chosen.value,
            _ => report.warning(&frontend.object, chosen.tag, "a page has `status`, `backend` and `query`; ignored"),
        }
    }
    let mut steps = Vec::new();
    for (name, page) in &pages {
        match step(frontend, name, page) {
            Ok(step) => steps.push(step),
            Err(problem) => report.error(&format!("{}, errors {name}", frontend.object), &problem.tag, problem.message),
        }
    }
    steps
}

fn step(frontend: &Frontend<'_>, name: &str, page: &Page<'_>) -> Result<Step, Problem> {
    let missing = |what: &str| Problem::new(page.tag, format!("it needs `errors.{name}.{what}`"));
    let status = page.status.ok_or_else(|| missing("status"))?;
    let backend = page.backend.ok_or_else(|| missing("backend"))?;
    let statuses = words::list(status.value);
    Statuses::parse(statuses.iter().map(String::as_str)).map_err(|message| Problem::new(status.tag, message))?;
    let service = backend.value;
    if service == frontend.group.name {
        return Err(Problem::new(backend.tag, "the service that fails cannot answer for itself; name another one"));
    }
    if service.chars().any(char::is_uppercase) {
        let message = format!("services are named in lower case here; write `{}`", service.to_lowercase());
        return Err(Problem::new(backend.tag, message));
    }
    let settings = error_pages(&statuses, service, page.query, Map::new(), Vec::new());
    Ok(named(&frontend.name, &format!("errors-{name}"), policy("degrade", &settings)))
}
