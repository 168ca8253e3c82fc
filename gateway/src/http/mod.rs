//! Step 3 of a request: from what hyper parsed to an [`Exchange`] that is safe to route and forward.
//!
//! Takes a request head; gives an [`Exchange`] with one normalised host, path and client, or a [`Refusal`]. The
//! ingress side runs before routing and the egress side after the last step, so matchers, policies and the upstream
//! all see the same request. It never opens a connection and never looks at routes.

mod body;
mod egress;
mod exchange;
mod forwarded;
mod hop;
mod ingress;
mod notes;
mod reply;

pub use body::{Body, BodyError, RequestBody, Streaming};
pub use egress::{finish_request, finish_response, with_query};
pub use exchange::{Client, Exchange, TlsSession};
pub use forwarded::Trust;
pub use ingress::{Refusal, accept};
pub use notes::{HeaderEdit, Leases, Notes};
pub use reply::{Failure, grpc_reply, plain, refusal, reply_to, unavailable};
