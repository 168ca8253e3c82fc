//! Leaving an instance out because a policy says so.

use std::sync::Arc;
use std::time::Duration;

use sluice_wasm::Ejector;

use super::Worker;
use crate::balance;
use crate::live::{Generation, Kind};

/// Of a hundred instances of a service, so many may be out because policies say so; one of several always may.
const MOST_PERCENT: u32 = 50;

/// An instance of a service that has answered, or failed to.
struct Ejection {
    generation: Arc<Generation>,
    service: Arc<str>,
    instance: u32,
}

/// The way to leave an instance of a service out.
pub(super) fn of(worker: &Worker, service: Option<&Arc<str>>, instance: Option<u32>) -> Option<Box<dyn Ejector>> {
    let (service, instance) = (Arc::clone(service?), instance?);
    Some(Box::new(Ejection { generation: worker.generation(), service, instance }))
}

impl Ejector for Ejection {
    fn eject(&self, time: Duration) -> bool {
        let service = self.generation.services.get(&self.service);
        let Some(Kind::Balancer(balancer)) = service.map(|service| &service.kind) else { return false };
        let endpoint = balancer.endpoints.iter().find(|endpoint| endpoint.instance.id == self.instance);
        endpoint.is_some_and(|endpoint| balance::take_out(balancer, endpoint, time, MOST_PERCENT))
    }
}
