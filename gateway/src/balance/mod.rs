//! Step 6 of a request: which instance of the service answers.
//!
//! Takes a service and the instances already tried; gives a [`Lease`], which counts as load on the instance until it
//! is dropped. It never opens a connection. A service without checks, cookies and strategies pays for none of them: its
//! instances take turns, and one number says that nobody is out.

mod parts;
mod sticky;
mod view;
mod watch;

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderValue;

pub use parts::{Choice, choose};
pub use watch::{Outcome, take_out, watch};

use crate::live::{Balancer, Endpoint, Method};
use crate::state::{InFlight, InstanceState, Place};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The client's address, as a header value.
    pub client: &'a HeaderValue,
    /// The request's headers, where they are still there.
    pub headers: Option<&'a HeaderMap>,
}

/// A place at an instance, given back by dropping it.
#[derive(Debug)]
pub struct Lease {
    load: InFlight,
    _place: Option<Place>,
}

/// An endpoint that has been chosen.
#[derive(Debug)]
pub struct Picked<'a> {
    /// The place taken.
    pub lease: Lease,
    /// Who it is.
    pub endpoint: &'a Endpoint,
    /// A cookie to bind the client to it.
    pub cookie: Option<&'a HeaderValue>,
}

impl Lease {
    /// The instance leased.
    #[must_use]
    pub fn instance(&self) -> &Arc<InstanceState> {
        self.load.instance()
    }

    /// Takes over another lease's place in the service's limit.
    #[must_use]
    pub fn in_place_of(mut self, other: Self) -> Self {
        self._place = other._place;
        self
    }

    /// Keeps a place in the service's limit for as long as it lasts.
    pub fn hold(&mut self, place: Place) {
        self._place = Some(place);
    }
}

/// The endpoint whose turn it is, of those not `tried` yet; `None` when none is left that takes requests.
#[must_use]
pub fn pick<'a>(balancer: &'a Balancer, asking: Asking<'_>, tried: &[u32]) -> Option<Picked<'a>> {
    if balancer.plain && tried.is_empty() && balancer.state.is_calm() {
        return match &balancer.method {
            Method::Cycle(cycle) => lease(balancer, cycle.at(balancer.state.next_turn())?, None),
            _ => unreachable!("only turns are plain"),
        };
    }
    let view = view::View::new(balancer, asking, tried);
    let sticky = balancer.sticky.as_ref().filter(|_| tried.is_empty());
    let bound = sticky.and_then(|sticky| sticky::find(sticky, asking.headers?));
    if let Some((at, current)) = bound.filter(|(at, _)| view.takes(*at)) {
        let renewed = sticky.filter(|_| !current).and_then(|sticky| sticky.set.get(at));
        return lease(balancer, at, renewed);
    }
    let at = view.choose()?;
    lease(balancer, at, balancer.sticky.as_ref().and_then(|sticky| sticky.set.get(at)))
}

fn lease<'a>(balancer: &'a Balancer, at: usize, cookie: Option<&'a HeaderValue>) -> Option<Picked<'a>> {
    let endpoint = balancer.endpoints.get(at)?;
    Some(Picked { lease: Lease { load: endpoint.instance.begin(), _place: None }, endpoint, cookie })
}

#[cfg(test)]
mod tests;
