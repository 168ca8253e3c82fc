//! Choosing where more than turns decides: health, what has been tried, slow starts and strategies.

use std::cell::OnceCell;

use sluice_model::balance::{Cycle, fnv1a, load, rendezvous};

use super::Asking;
use crate::live::{Balancer, Endpoint, Method};

/// Turns taken in search of somebody who takes requests, before all are looked at in order.
const MOST_TURNS: usize = 64;
/// The least chance of a target that has just come up, so that it gets something to warm up with.
const LEAST_CHANCE: f64 = 0.05;

/// A service's endpoints as one request finds them.
pub(super) struct View<'a> {
    balancer: &'a Balancer,
    asking: Asking<'a>,
    tried: &'a [u32],
    /// Whether all are used because few are in health; found out only when somebody is not.
    panic: OnceCell<bool>,
}

impl<'a> View<'a> {
    pub(super) fn new(balancer: &'a Balancer, asking: Asking<'a>, tried: &'a [u32]) -> Self {
        Self { balancer, asking, tried, panic: OnceCell::new() }
    }

    /// Whether an endpoint takes this request.
    pub(super) fn takes(&self, at: usize) -> bool {
        let Some(endpoint) = self.endpoint(at) else { return false };
        endpoint.weight > 0
            && !self.tried.contains(&endpoint.instance.id)
            && (self.balancer.is_well(endpoint) || *self.panic.get_or_init(|| self.balancer.panics()))
    }

    /// The endpoint this request goes to.
    pub(super) fn choose(&self) -> Option<usize> {
        match &self.balancer.method {
            Method::Cycle(cycle) => self.by_turns(cycle),
            Method::Rebalancing(cycle) => match self.balancer.state.rebalanced() {
                Some(moved) => self.by_turns(&moved),
                None => self.by_turns(cycle),
            },
            Method::TwoChoices => self.of_two(|endpoint| f64::from(endpoint.instance.in_flight())),
            Method::PeakEwma => {
                self.of_two(|endpoint| load::peak(endpoint.state.peak_ns(), endpoint.instance.in_flight()))
            }
            Method::LeastTime(cycle) => self.least_time(cycle),
            Method::Rendezvous => {
                let client = self.asking.client.as_bytes();
                let score = |at: usize| {
                    let endpoint = self.endpoint(at)?;
                    Some(rendezvous(client, endpoint.url.as_bytes(), endpoint.weight))
                };
                let scores = self.all().filter(|at| self.takes(*at)).filter_map(|at| Some((at, score(at)?)));
                scores.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
            }
            Method::Maglev(table) => {
                table.from_hash(fnv1a(&[self.asking.client.as_bytes()])).find(|at| self.takes(*at))
            }
        }
    }

    /// Each turn that falls on somebody who does not take it is passed on, and the next turn is taken: so the shares of
    /// the others stay as their weights say.
    fn by_turns(&self, cycle: &Cycle) -> Option<usize> {
        let mut turn = self.balancer.state.next_turn();
        for _ in 0..cycle.len().min(MOST_TURNS) {
            if let Some(at) = cycle.at(turn).filter(|at| self.takes(*at) && self.is_warm(*at)) {
                return Some(at);
            }
            turn = self.balancer.state.next_turn();
        }
        cycle.from_turn(turn).find(|at| self.takes(*at))
    }

    /// The cheaper of two picked at random.
    fn of_two(&self, cost: impl Fn(&Endpoint) -> f64) -> Option<usize> {
        let first = self.random(None)?;
        let Some(second) = self.random(Some(first)) else { return Some(first) };
        let cost = |at| self.endpoint(at).map_or(f64::MAX, &cost);
        Some(if cost(second) < cost(first) { second } else { first })
    }

    /// One that takes the request, other than `but`.
    fn random(&self, but: Option<usize>) -> Option<usize> {
        let count = self.balancer.endpoints.len();
        let fits = |at: &usize| Some(*at) != but && self.takes(*at);
        if count > 2 {
            for _ in 0..4 {
                let at = fastrand::usize(..count);
                if fits(&at) && self.is_warm(at) {
                    return Some(at);
                }
            }
        }
        let start = fastrand::usize(..count.max(1));
        let in_order = || (start..count).chain(0..start).filter(fits);
        in_order().find(|at| self.is_warm(*at)).or_else(|| in_order().next())
    }

    /// Equal ones take turns.
    fn least_time(&self, cycle: &Cycle) -> Option<usize> {
        let cost = |at: usize| {
            let endpoint = self.endpoint(at)?;
            Some(load::least_time(endpoint.state.mean_ns(), endpoint.instance.in_flight(), endpoint.weight))
        };
        let best = |warm: bool| {
            let takers = self.all().filter(|at| self.takes(*at) && (!warm || self.is_warm(*at)));
            takers.filter_map(cost).min_by(f64::total_cmp)
        };
        let best = best(true).or_else(|| best(false))?;
        let turn = self.balancer.state.next_turn();
        let mut in_turn = cycle.from_turn(turn).filter(|at| self.takes(*at));
        in_turn.find(|at| cost(*at).is_some_and(|cost| cost <= best))
    }

    /// Whether a target that has come up lately takes a request: at first seldom, more often as time goes by.
    fn is_warm(&self, at: usize) -> bool {
        let ramp = self.balancer.slow_start;
        if ramp == 0 {
            return true;
        }
        let Some(endpoint) = self.endpoint(at) else { return false };
        let came_up = endpoint.check.as_ref().map_or(0, |check| check.came_up());
        let since = endpoint.state.since().max(came_up);
        since == 0 || fastrand::f64() < chance(self.balancer.state.now().saturating_sub(since), ramp)
    }

    fn endpoint(&self, at: usize) -> Option<&'a Endpoint> {
        self.balancer.endpoints.get(at)
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.balancer.endpoints.len()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chance")]
fn chance(up_for: u64, ramp: u64) -> f64 {
    (up_for as f64 / ramp as f64).max(LEAST_CHANCE)
}
