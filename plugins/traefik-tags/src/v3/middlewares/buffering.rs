//! `buffering`: whole requests and answers, limits on their size, and tries in place of a failed one.

use sluice_plugin_sdk::router::{Action, Buffering};

use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("maxrequestbodybytes", Integer),
        ("memrequestbodybytes", Integer),
        ("maxresponsebodybytes", Integer),
        ("memresponsebodybytes", Integer),
        ("retryexpression", Text),
    ],
    Refused,
);

/// Whether the expression can be read is known to the gateway.
pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let bytes = |name: &str| match u64::try_from(kind.integer(name).unwrap_or(0)) {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Problem::new(kind.tag_of(name), format!("`{name}` must not be negative"))),
    };
    Ok(Action::Buffering(Buffering {
        max_request_bytes: bytes("maxrequestbodybytes")?,
        memory_request_bytes: bytes("memrequestbodybytes")?,
        max_response_bytes: bytes("maxresponsebodybytes")?,
        memory_response_bytes: bytes("memresponsebodybytes")?,
        retry_expression: kind.text("retryexpression").filter(|text| !text.is_empty()).map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::middleware;

    #[test]
    fn limits_and_the_expression_are_kept() {
        let options = [
            "buffering.maxrequestbodybytes=1",
            "buffering.memrequestbodybytes=2",
            "buffering.maxresponsebodybytes=3",
            "buffering.memresponsebodybytes=4",
            "buffering.retryexpression=Attempts() < 2",
        ];
        let wanted = Buffering {
            max_request_bytes: 1,
            memory_request_bytes: 2,
            max_response_bytes: 3,
            memory_response_bytes: 4,
            retry_expression: Some("Attempts() < 2".into()),
        };
        assert_eq!(middleware(&options), Some(Action::Buffering(wanted)));
        assert_eq!(middleware(&["buffering.maxrequestbodybytes=-1"]), None);
    }
}
