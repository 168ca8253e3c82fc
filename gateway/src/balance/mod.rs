//! Step 6 of a request: which instance of the service answers.
//!
//! Takes a service and the instances already tried; gives a [`Lease`], which counts as load on the instance until it
//! is dropped. It never opens a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::header::HeaderValue;

use crate::live::{Endpoint, Service};
use crate::state::Instance;

/// A place at an instance, given back by dropping it.
#[derive(Debug)]
pub struct Lease {
    instance: Arc<Instance>,
}

impl Lease {
    fn new(instance: &Arc<Instance>) -> Self {
        instance.enter();
        Self { instance: Arc::clone(instance) }
    }

    /// The instance leased.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.instance.leave();
    }
}

/// The endpoint whose turn it is, of those not `tried` yet; `None` when none is left.
#[must_use]
pub fn pick<'a>(service: &'a Service, tried: &[u32]) -> Option<(Lease, &'a HeaderValue)> {
    let turn = service.turn.fetch_add(1, Ordering::Relaxed);
    service
        .cycle
        .from_turn(turn)
        .filter_map(|at| service.endpoints.get(at))
        .find(|endpoint| !tried.contains(&endpoint.instance.id()))
        .map(|Endpoint { instance, host }| (Lease::new(instance), host))
}
