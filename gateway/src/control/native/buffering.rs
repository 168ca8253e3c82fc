//! `buffering`: what is not limited gets the largest limit there is, and its retry expression is read.

use sluice_model::action::Buffering as BufferingSpec;
use sluice_model::retry::RetryExpression;

use crate::live::native::{BodyLimits, Buffering};

/// Kept in memory where nothing is said, as in Traefik.
const IN_MEMORY: u64 = 1024 * 1024;

pub(super) fn compile(spec: &BufferingSpec) -> Result<Buffering, String> {
    let limits = |most, in_memory| BodyLimits { most: or(most, u64::MAX), in_memory: or(in_memory, IN_MEMORY) };
    let again = spec.retry_expression.as_deref().map(RetryExpression::parse).transpose();
    Ok(Buffering {
        request: limits(spec.max_request, spec.memory_request),
        response: limits(spec.max_response, spec.memory_response),
        again: again.map_err(|error| error.to_string())?,
    })
}

fn or(limit: u64, otherwise: u64) -> u64 {
    if limit == 0 { otherwise } else { limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_no_limit_and_a_mebibyte_in_memory() {
        let found = compile(&BufferingSpec { max_request: 8, memory_response: 9, ..BufferingSpec::default() });
        let limits = found.map(|found| [found.request, found.response].map(|limits| (limits.most, limits.in_memory)));
        assert_eq!(limits, Ok([(8, IN_MEMORY), (u64::MAX, 9)]));
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_refused() {
        let spec = BufferingSpec { retry_expression: Some("Attempts() <".into()), ..BufferingSpec::default() };
        assert!(compile(&spec).is_err_and(|error| error.contains("Attempts() <")));
    }
}
