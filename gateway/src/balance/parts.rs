//! Which part of a service that is put together from others a request goes to.

use hyper::header::HeaderValue;
use sluice_model::balance::rendezvous;
use sluice_model::service::Split;

use super::{Asking, sticky};
use crate::live::{Part, Weighted};

/// A part that has been chosen.
#[derive(Debug)]
pub struct Choice<'a> {
    /// The part.
    pub part: &'a Part,
    /// A cookie to bind the client to it.
    pub cookie: Option<&'a HeaderValue>,
}

/// The part a request goes to; `None` where none takes requests.
#[must_use]
pub fn choose<'a>(weighted: &'a Weighted, asking: Asking<'_>) -> Option<Choice<'a>> {
    let takes = |at: &usize| {
        let part = weighted.parts.get(*at);
        part.is_some_and(|part| part.weight > 0 && (!weighted.health_check || part.service.is_up()))
    };
    let sticky = weighted.sticky.as_ref();
    let bound = sticky.and_then(|sticky| sticky::find(sticky, asking.headers?)).filter(|(at, _)| takes(at));
    let (at, current) = match bound {
        Some(bound) => bound,
        None => (by_split(weighted, asking, takes)?, false),
    };
    let cookie = sticky.filter(|_| !current).and_then(|sticky| sticky.set.get(at));
    Some(Choice { part: weighted.parts.get(at)?, cookie })
}

fn by_split(weighted: &Weighted, asking: Asking<'_>, takes: impl Fn(&usize) -> bool) -> Option<usize> {
    match weighted.split {
        Split::Weighted => {
            // As with instances: a turn that nobody takes is passed on.
            let turns = (0..weighted.cycle.len()).filter_map(|_| weighted.cycle.at(weighted.state.next_turn()));
            turns.into_iter().find(|at| takes(at))
        }
        Split::Hashed => {
            let client = asking.client.as_bytes();
            let score =
                |at: usize| weighted.parts.get(at).map(|part| rendezvous(client, part.name.as_bytes(), part.weight));
            let scores = (0..weighted.parts.len()).filter(&takes).filter_map(|at| Some((at, score(at)?)));
            scores.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
        }
    }
}
