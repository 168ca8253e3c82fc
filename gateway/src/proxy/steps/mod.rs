//! Native steps, a file for each theme: what they make of a request, and what they still have to do with its answer.
//!
//! Takes the exchange and a compiled step; changes the exchange, or answers it. Nothing here waits.

mod address;
mod client_certificate;
mod compress;
pub(super) mod content_type;
mod encoded_characters;
mod grpc_web;
mod headers;
mod loop_guard;
mod path;
mod redirect;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use hyper::http::response;

use super::chain::Stopped;
use super::planned::Plan;
use crate::http::Exchange;
use crate::live::native::{Coding, Native};
use crate::upstream::AnswerBody;

/// What a step has to do with the answer.
pub(super) enum Leave {
    /// Set and remove headers.
    Headers(headers::Leave),
    /// Send the body in a shorter coding.
    Compress(compress::Leave),
    /// Translate the answer back.
    GrpcWeb(grpc_web::Leave),
}

/// What becomes of an upstream's body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is sent in a coding.
    Coded(Coding),
    /// Its trailers become its last message.
    GrpcWeb,
    /// The same, in base64.
    GrpcWebText,
}

/// What a step makes of a request.
pub(super) enum Entered {
    Pass,
    PassWith(Leave),
    Stop(Stopped),
}

/// Takes a request through a step. What the step wants done later goes into the plan.
pub(super) fn enter(step: &Arc<Native>, exchange: &mut Exchange, plan: &mut Option<Box<Plan>>) -> Entered {
    match &**step {
        Native::Path(change) => path::apply(change, exchange).err().map(Stopped::Failed).into(),
        Native::RedirectSlash => Entered::Stop(Stopped::Answered(redirect::slash(exchange))),
        Native::RedirectRegexp(wanted) => redirect::by_regexp(wanted, exchange).into(),
        Native::RedirectScheme(wanted) => redirect::to_scheme(wanted, exchange).into(),
        Native::Headers(wanted) => headers::enter(wanted, step, exchange),
        Native::Compress(wanted) => Entered::PassWith(Leave::Compress(compress::enter(wanted, step, exchange))),
        Native::EncodedCharacters(refused) => encoded_characters::check(refused, exchange).into(),
        Native::ClientCertificate(wanted) => {
            client_certificate::tell(wanted, exchange);
            Entered::Pass
        }
        Native::GrpcWeb(cors) => grpc_web::enter(cors, step, exchange, plan),
        Native::LoopGuard(value) => loop_guard::pass(value, exchange).into(),
        Native::Retry(wanted) => planned(plan, |plan| plan.retry = Some(Arc::clone(wanted))),
        Native::Buffering(wanted) => planned(plan, |plan| plan.buffering = Some(Arc::clone(wanted))),
        Native::ContentType => planned(plan, |plan| plan.guess_type = true),
    }
}

impl From<Option<Stopped>> for Entered {
    fn from(stopped: Option<Stopped>) -> Self {
        stopped.map_or(Self::Pass, Self::Stop)
    }
}

fn planned(plan: &mut Option<Box<Plan>>, add: impl FnOnce(&mut Plan)) -> Entered {
    add(plan.get_or_insert_default());
    Entered::Pass
}

impl Leave {
    /// Takes the head of an answer back through the step; `body` is there where an upstream answers. Gives the form the
    /// body is to be sent in, which the head says already.
    pub(super) fn apply(&self, head: &mut response::Parts, body: Option<&AnswerBody>) -> Option<Form> {
        match self {
            Self::Headers(leave) => {
                leave.apply(&mut head.headers);
                None
            }
            Self::Compress(leave) => leave.apply(head, body).map(Form::Coded),
            Self::GrpcWeb(leave) => leave.apply(head, body),
        }
    }
}
