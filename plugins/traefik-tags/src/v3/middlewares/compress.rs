//! `compress`: answers in a shorter coding.

use sluice_plugin_sdk::router::{Action, Compress};

use crate::report::Problem;
use crate::tags::schema::Bare::Allowed;
use crate::tags::schema::Schema::{self, Integer, Object, Text};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("encodings", Text),
        ("excludedcontenttypes", Text),
        ("includedcontenttypes", Text),
        ("minresponsebodybytes", Integer),
        ("defaultencoding", Text),
    ],
    Allowed,
);

/// Shorter answers are left alone, as in Traefik.
const MIN_BYTES: i64 = 1024;

/// Which names of encodings there are is known to the gateway.
pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let (excluded, included) = (kind.list("excludedcontenttypes"), kind.list("includedcontenttypes"));
    if !excluded.is_empty() && !included.is_empty() {
        let message = "`excludedcontenttypes` and `includedcontenttypes` exclude each other";
        return Err(Problem::new(kind.tag_of("includedcontenttypes"), message));
    }
    let min_bytes = u64::try_from(kind.integer("minresponsebodybytes").unwrap_or(MIN_BYTES)).map_err(|_| {
        Problem::new(kind.tag_of("minresponsebodybytes"), "`minresponsebodybytes` must not be negative")
    })?;
    let listed = kind.list("encodings");
    let all = || ["gzip", "br", "zstd"].map(str::to_owned).to_vec();
    Ok(Action::Compress(Compress {
        encodings: if listed.is_empty() { all() } else { listed },
        default_encoding: kind.text("defaultencoding").filter(|name| !name.is_empty()).map(str::to_owned),
        excluded,
        included,
        min_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::middleware;

    #[test]
    fn nothing_has_to_be_set() {
        let wanted = Compress {
            encodings: vec!["gzip".into(), "br".into(), "zstd".into()],
            default_encoding: None,
            excluded: vec![],
            included: vec![],
            min_bytes: 1024,
        };
        assert_eq!(middleware(&["compress=true"]), Some(Action::Compress(wanted.clone())));
        let options = ["compress.encodings=br", "compress.minresponsebodybytes=5", "compress.excludedcontenttypes=a/b"];
        let wanted = Compress { encodings: vec!["br".into()], min_bytes: 5, excluded: vec!["a/b".into()], ..wanted };
        assert_eq!(middleware(&options), Some(Action::Compress(wanted)));
    }

    #[test]
    fn what_contradicts_is_refused() {
        let both = ["compress.excludedcontenttypes=a/b", "compress.includedcontenttypes=c/d"];
        assert_eq!(middleware(&both), None);
        assert_eq!(middleware(&["compress.minresponsebodybytes=-1"]), None);
    }
}
