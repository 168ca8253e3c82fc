//! Between WIT types and plain ones. The only place that knows both.

mod policy;
mod router;
mod service;

pub(crate) use policy::{field, outcome, reservation, subscription, verdict};
pub(crate) use router::{contribution, instances, tags};
