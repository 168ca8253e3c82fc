//! `backend.maxconn.*`: the policy plugin `concurrency`.

use serde_json::json;
use sluice_plugin_sdk::router::Action;

use super::super::frontend::Frontend;
use super::policy;
use super::rate_limit::source;
use crate::report::{Problem, Report};
use crate::tags::words;

pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let options = frontend.scope.options;
    let extractor = options.get("backend.maxconn.extractorfunc");
    let Some(amount) = options.get("backend.maxconn.amount") else {
        if let Some(chosen) = extractor {
            report.warning(&frontend.object, chosen.tag, "without `backend.maxconn.amount` there is no limit");
        }
        return Ok(None);
    };
    let count = match words::integer(amount.value) {
        None => {
            report.warning(&frontend.object, amount.tag, "this is not an integer, so there is no limit");
            return Ok(None);
        }
        Some(count) if count <= 0 => return Ok(None),
        Some(count) => count,
    };
    let kind = extractor.map_or("request.host", |chosen| chosen.value);
    let source = source(kind).ok_or_else(|| {
        let message = "the source is none of client.ip, request.host, request.header.<Name>";
        Problem::new(extractor.map_or("", |chosen| chosen.tag), message)
    })?;
    Ok(Some(policy("concurrency", &json!({ "amount": count, "source": source }))))
}
