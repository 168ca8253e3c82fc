//! `frontend.whiteList.*` and its deprecated spelling `frontend.whitelistSourceRange`: the policy plugin `ip-allow-list`.

use serde_json::json;
use sluice_plugin_sdk::router::Action;
use sluice_policy_kit::ip::Ranges;

use super::super::frontend::Frontend;
use super::policy;
use crate::report::{Problem, Report};
use crate::tags::words;

pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let deprecated = scope.get("whitelistSourceRange");
    let Some(chosen) = scope.get("whiteList.sourceRange").or(deprecated) else {
        if let Some(chosen) = scope.get("whiteList.useXForwardedFor") {
            report.warning(object, chosen.tag, "without `whiteList.sourceRange` everybody passes");
        }
        return Ok(None);
    };
    if let Some(deprecated) = deprecated {
        report.warning(object, deprecated.tag, "`whitelistSourceRange` is deprecated; use `whiteList.sourceRange`");
    }
    let ranges = words::list(chosen.value);
    match Ranges::parse(ranges.iter().map(String::as_str)) {
        Ok(checked) if checked.is_empty() => return Err(Problem::new(chosen.tag, "it names no address")),
        Ok(_) => {}
        Err(message) => return Err(Problem::new(chosen.tag, message)),
    }
    let any_hop = scope.flag("whiteList.useXForwardedFor", false, object, report);
    Ok(Some(policy("ip-allow-list", &json!({ "source-range": ranges, "use-x-forwarded-for": any_hop }))))
}
