//! `backend.circuitbreaker.expression` and its deprecated spelling `backend.circuitbreaker`: the policy plugin
//! `circuit-breaker`, with a breaker for each frontend.

use serde_json::json;
use sluice_plugin_sdk::router::Action;
use sluice_policy_kit::expression::Expression;

use super::super::frontend::Frontend;
use super::policy;
use crate::report::{Problem, Report};

pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let options = frontend.scope.options;
    let deprecated = options.get("backend.circuitbreaker");
    if let Some(chosen) = deprecated {
        let message = "`backend.circuitbreaker` is deprecated; use `backend.circuitbreaker.expression`";
        report.warning(&frontend.object, chosen.tag, message);
    }
    let Some(chosen) = options.get("backend.circuitbreaker.expression").or(deprecated) else { return Ok(None) };
    let (_, notes) = Expression::parse(chosen.value).map_err(|message| Problem::new(chosen.tag, message))?;
    for note in notes {
        report.warning(&frontend.object, chosen.tag, note);
    }
    Ok(Some(policy("circuit-breaker", &json!({ "mode": "expression", "expression": chosen.value }))))
}
