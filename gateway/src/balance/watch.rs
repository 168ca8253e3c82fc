//! What requests say of the health of the instances they went to.

use std::time::{Duration, Instant};

use sluice_model::service::OutlierEjection;

use crate::live::{Balancer, Endpoint, Method};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The status of the answer.
    Answered(u16),
    /// There was none.
    Failed,
}

/// Notes what became of a request to an endpoint, and takes the endpoint out where that is one failure too many. To be
/// called only for services that want to know.
pub fn watch(balancer: &Balancer, endpoint: &Endpoint, outcome: Outcome, begun: Instant) {
    let state = &endpoint.state;
    if let Outcome::Answered(_) = outcome {
        match &balancer.method {
            Method::LeastTime(_) => state.time(begun.elapsed()),
            Method::PeakEwma => state.time_peak(balancer.state.now(), begun.elapsed()),
            _ => {}
        }
    }
    let failed = match outcome {
        Outcome::Answered(status) => status >= 500,
        Outcome::Failed => true,
    };
    if failed {
        fail(balancer, endpoint);
    } else {
        state.succeed();
    }
    if let Method::Rebalancing(_) = &balancer.method {
        let targets: Vec<_> = balancer.endpoints.iter().map(|endpoint| &*endpoint.state).collect();
        let weights: Vec<_> = balancer.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        balancer.state.rebalance(&targets, &weights);
    }
}

fn fail(balancer: &Balancer, endpoint: &Endpoint) {
    let now = balancer.state.now();
    let streak = endpoint.state.fail();
    if let Some(passive) = balancer.passive
        && endpoint.state.fail_within(now, passive.window) >= passive.failures
        && balancer.state.take_out(&endpoint.state, passive.window)
    {
        report(endpoint, passive.failures, passive.window);
    }
    if let Some(outliers) = balancer.outliers
        && streak >= outliers.failures
        && may_go(balancer, outliers)
    {
        let time = endpoint.state.next_time_out(now, outliers.base, outliers.most);
        if balancer.state.take_out(&endpoint.state, time) {
            report(endpoint, streak, time);
        }
    }
}

fn report(endpoint: &Endpoint, failures: u32, time: Duration) {
    tracing::warn!(
        instance = endpoint.url,
        failures,
        ?time,
        "instance failed too often; it takes no requests for a while"
    );
}

/// Takes an endpoint out because somebody says so, within a cap.
pub fn take_out(balancer: &Balancer, endpoint: &Endpoint, time: Duration, most_percent: u32) -> bool {
    let cap = OutlierEjection { failures: 1, base: time, most: time, most_percent };
    may_go(balancer, cap) && balancer.state.take_out(&endpoint.state, time)
}

/// Whether one more may be taken out: a percentage of all, but always one of several, and never the last.
fn may_go(balancer: &Balancer, cap: OutlierEjection) -> bool {
    let endpoints = || balancer.endpoints.iter().filter(|endpoint| endpoint.weight > 0);
    let all = endpoints().count();
    let out = endpoints().filter(|endpoint| !balancer.is_well(endpoint)).count();
    let allowed = (all * cap.most_percent as usize / 100).max(1);
    out < allowed && out + 1 < all
}
