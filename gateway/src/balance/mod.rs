//! Step 6 of a request: which instance of the service answers.
//!
//! Takes a service and the instances already tried; gives a [`Lease`], which counts as load on the instance until it
//! is dropped. It never opens a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::header::HeaderValue;

use crate::live::{Endpoint, Service};
use crate::state::{InFlight, InstanceState};

/// A place at an instance, given back by dropping it.
#[derive(Debug)]
pub struct Lease {
    instance: Arc<InstanceState>,
    _load: InFlight,
}

impl Lease {
    fn new(instance: &Arc<InstanceState>) -> Self {
        Self { instance: Arc::clone(instance), _load: instance.begin() }
    }

    /// The instance leased.
    #[must_use]
    pub fn instance(&self) -> &Arc<InstanceState> {
        &self.instance
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
        .find(|endpoint| !tried.contains(&endpoint.instance.id))
        .map(|Endpoint { instance, host }| (Lease::new(instance), host))
}
