//! `backend.buffering.*`, the same for every frontend of the service.

use sluice_plugin_sdk::router::{Action, Buffering};

use super::super::frontend::Frontend;
use crate::report::{Problem, Report};
use crate::tags::words;

const OPTIONS: &str = "backend.buffering.";

/// Whether the expression can be read is known to the gateway.
pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let options = frontend.scope.options;
    if options.starting(OPTIONS).next().is_none() {
        return Ok(None);
    }
    let mut bytes = |name: &str| {
        let chosen = options.get(&format!("{OPTIONS}{name}"))?;
        let bytes = words::integer(chosen.value).and_then(|bytes| u64::try_from(bytes).ok());
        if bytes.is_none() {
            report.warning(&frontend.object, chosen.tag, "this is not a number of bytes, so it is ignored");
        }
        bytes
    };
    Ok(Some(Action::Buffering(Buffering {
        max_request_bytes: bytes("maxRequestBodyBytes").unwrap_or(0),
        memory_request_bytes: bytes("memRequestBodyBytes").unwrap_or(0),
        max_response_bytes: bytes("maxResponseBodyBytes").unwrap_or(0),
        memory_response_bytes: bytes("memResponseBodyBytes").unwrap_or(0),
        retry_expression: options.get("backend.buffering.retryExpression").map(|chosen| chosen.value.to_owned()),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::v1_step;

    #[test]
    fn limits_and_the_expression_are_kept() {
        let wanted = Buffering {
            max_request_bytes: 8,
            memory_request_bytes: 0,
            max_response_bytes: 0,
            memory_response_bytes: 0,
            retry_expression: Some("IsNetworkError()".into()),
        };
        let options = [
            "backend.buffering.maxRequestBodyBytes=8",
            "backend.buffering.memRequestBodyBytes=lots",
            "backend.buffering.retryExpression=IsNetworkError()",
        ];
        assert_eq!(v1_step("{}", &options), Some(Action::Buffering(wanted)));
        assert_eq!(v1_step("{}", &["frontend.rule=Host:a"]), None);
    }
}
