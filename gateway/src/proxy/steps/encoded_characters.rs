//! Paths with encodings that mean one thing to one server and another thing to the next.

use hyper::StatusCode;

use crate::http::{Exchange, plain};
use crate::proxy::chain::Stopped;

/// Refuses a path with one of the encodings. The normalised path has them in upper case.
pub(super) fn check(refused: &[&'static str], exchange: &Exchange) -> Option<Stopped> {
    let path = exchange.path.as_str();
    let found = refused.iter().any(|encoding| path.contains(encoding));
    found.then(|| Stopped::Answered(plain(StatusCode::BAD_REQUEST, "Bad Request")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::exchange;
    use super::*;

    #[test]
    fn only_what_is_not_allowed_is_refused() {
        for (path, passes) in [("/a/b", true), ("/a%2fb", false), ("/a%2Fb", false), ("/a%3Bb", true), ("/a%20b", true)]
        {
            assert_eq!(check(&["%2F"], &exchange("GET", "h.test", path)).is_none(), passes, "{path}");
        }
    }
}
