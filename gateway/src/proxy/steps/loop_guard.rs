//! Requests that come back to the route they came from: a service whose own address is the gateway's.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use crate::http::{Exchange, plain};
use crate::proxy::chain::Stopped;

const ROUTER: HeaderName = HeaderName::from_static("x-traefik-router");

/// Marks a request; one that has the mark already is refused.
pub(super) fn pass(value: &HeaderValue, exchange: &mut Exchange) -> Option<Stopped> {
    let headers = &mut exchange.head.headers;
    if headers.get_all(ROUTER).iter().any(|mark| mark == value) {
        return Some(Stopped::Answered(plain(StatusCode::BAD_REQUEST, "Bad Request")));
    }
    headers.append(ROUTER, value.clone());
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::exchange;
    use super::*;

    #[test]
    fn a_request_passes_each_route_once() {
        let mut request = exchange("GET", "h.test", "/");
        assert!(pass(&HeaderValue::from_static("a"), &mut request).is_none());
        assert!(pass(&HeaderValue::from_static("b"), &mut request).is_none(), "another route");
        assert!(pass(&HeaderValue::from_static("a"), &mut request).is_some());
    }
}
