//! Circuit breaking: requests are kept from what fails, until it has recovered. **Closed means that traffic flows.**
//!
//! # What it decides
//!
//! A breaker belongs to a key: a route, a service, an instance, or what else `scope` names. While it is closed, requests
//! pass, and how they end is counted. When too many failed, by an expression of Traefik's or by a ratio, a count or a row
//! of failures, it opens: requests are answered at once, by a reply or by another service. After a while it recovers:
//! either a rising share of the requests passes, or a few probes do and all of them have to succeed.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "breaker"
//! plugin = "circuit-breaker"
//! attach = ["service:pay"]
//! config = { expression = "NetworkErrorRatio() > 0.30", fallback-duration = "10s" }
//! ```
//!
//! # How it is made
//!
//! It needs two hooks. `on_request` asks whether the key's breaker lets the request in; the number it leaves with the
//! exchange, its context, comes back in `on_complete`, which counts the outcome and asks whether that opens the breaker.
//!
//! A state that each worker had for itself would be wrong by the number of workers, so all of it is the host's: counts are
//! in a window, and the machine's state is a number that is changed by compare-and-swap. Whoever makes a transition is told
//! so, exactly once, and reports it.
//!
//! This file is the glue. `settings` is what an operator can set, `measure` what has happened to a key, `machine` the
//! states and what takes a breaker from one to the next, `breaker` puts them together, and `report` is what the operator
//! sees.
//!
//! # How it is tested
//!
//! `machine` is tested by itself, with times it is given. `tests` plays exchanges against the SDK's mock: fail some, move
//! the clock, look at the verdicts.

mod breaker;
mod machine;
mod measure;
mod report;
mod settings;

use breaker::Breaker;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{Fields, Outcome, Policy, Subscription, Verdict};

struct CircuitBreaker(Breaker);

impl Policy for CircuitBreaker {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let breaker = Breaker::open(Settings::check(settings)?)?;
        let subscription = breaker.subscription();
        Ok((Self(breaker), subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        self.0.on_request(&fields)
    }

    fn on_complete(&mut self, context: u64, outcome: Outcome) {
        self.0.on_complete(context, &outcome);
    }
}

sluice_plugin_sdk::export_policy!(CircuitBreaker);

#[cfg(test)]
mod tests;
