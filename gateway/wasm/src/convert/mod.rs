//! Between WIT types and plain ones. The only place that knows both.

mod action;
mod policy;
mod router;
mod service;

pub(crate) use policy::{
    body_verdict, bucket_kind, failure_of, field, force, gate_spec, outcome, pressure, reservation, subscription,
    totals, verdict,
};
pub(crate) use router::{contribution, instances, tags};

fn convert<A, B>(list: Vec<A>, each: impl FnMut(A) -> B) -> Vec<B> {
    list.into_iter().map(each).collect()
}
