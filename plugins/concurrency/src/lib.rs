//! How many requests may be under way at once: Traefik's `inflightreq` and `maxconn`, limits that follow the latency they
//! see, classes of requests that may fill different shares, and a guard that sheds the least important ones while the
//! machine is overloaded.
//!
//! This file is the glue; `settings` says what an operator can set, `limiter` what becomes of a request. The host counts,
//! and lets every exchange out again when it has ended.

mod capacity;
mod limiter;
mod settings;

use limiter::Limiter;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{Fields, Outcome, Policy, Subscription, Verdict};

struct Concurrency(Limiter);

impl Policy for Concurrency {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let limiter = Limiter::open(Settings::check(settings)?)?;
        let subscription = limiter.subscription();
        Ok((Self(limiter), subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        self.0.decide(&fields)
    }

    fn on_complete(&mut self, _: u64, outcome: Outcome) {
        self.0.ended(&outcome);
    }
}

sluice_plugin_sdk::export_policy!(Concurrency);

#[cfg(test)]
mod tests;
