//! Step 3 of a request: from what hyper parsed to an [`Exchange`] that is safe to route and forward.
//!
//! Takes a request head; gives an [`Exchange`] with one normalised host, path and client, or a [`Refusal`]. The
//! ingress side runs before routing and the egress side after the last step, so matchers, policies and the upstream
//! all see the same request. What hyper would hide from them is refused before it, by the strict reader. It never
//! opens a connection and never looks at routes.

mod base64;
mod body;
mod egress;
mod exchange;
pub mod flow;
mod forwarded;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod held;
mod hop;
mod ingress;
mod names;
mod notes;
mod progress;
mod reply;
mod strict;

pub use body::{Body, BodyError, BodyLimits, RequestBody, Streaming};
pub use egress::{finish_request, finish_response, with_query};
pub use exchange::{Client, Exchange, Rules, Sendable, TlsSession, Tunnel};
pub use flow::Flow;
pub use forwarded::{Forwarding, Present, Trust};
pub use frames::FrameStream;
pub use held::{Held, HoldLimits, Replay, Taken};
pub use ingress::{Refusal, accept, is_about_server};
pub use names::remove_twins;
pub use notes::{Answering, HeaderEdit, Leases, Notes};
pub use reply::{Failure, OUT_OF_MEMORY, grpc_reply, plain, refusal, reply_to, unavailable, unread};
pub use strict::{Refused, StrictStream};
