//! Native steps, a file for each theme: what they make of a request, and what they still have to do with its answer.
//!
//! Takes the exchange and a compiled step; changes the exchange, or answers it. Nothing here waits.

mod address;
mod headers;
mod path;
mod redirect;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use hyper::http::response;

use super::chain::Stopped;
use crate::http::Exchange;
use crate::live::native::Native;

/// What a step has to do with the answer.
pub(super) enum Leave {
    /// Set and remove headers.
    Headers(headers::Leave),
}

/// What a step makes of a request.
pub(super) enum Entered {
    Pass,
    PassWith(Leave),
    Stop(Stopped),
}

/// Takes a request through a step.
pub(super) fn enter(step: &Arc<Native>, exchange: &mut Exchange) -> Entered {
    match &**step {
        Native::Path(change) => path::apply(change, exchange).err().map(Stopped::Failed).into(),
        Native::RedirectSlash => Entered::Stop(Stopped::Answered(redirect::slash(exchange))),
        Native::RedirectRegexp(wanted) => redirect::by_regexp(wanted, exchange).into(),
        Native::RedirectScheme(wanted) => redirect::to_scheme(wanted, exchange).into(),
        Native::Headers(wanted) => headers::enter(wanted, step, exchange),
    }
}

impl From<Option<Stopped>> for Entered {
    fn from(stopped: Option<Stopped>) -> Self {
        stopped.map_or(Self::Pass, Self::Stop)
    }
}

impl Leave {
    /// Takes the head of an answer back through the step.
    pub(super) fn apply(&self, head: &mut response::Parts) {
        match self {
            Self::Headers(leave) => leave.apply(&mut head.headers),
        }
    }
}
