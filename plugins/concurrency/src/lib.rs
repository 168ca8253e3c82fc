//! How many requests may be under way at once: Traefik's `inflightreq` and `maxconn`, limits that follow the latency they
//! see, classes of requests that may fill different shares, and a guard that sheds the least important ones while the
//! machine is overloaded.
//!
//! # What it decides
//!
//! A request enters the gate of its key, or is answered 429. The host counts who is inside, and lets an exchange out again
//! when it has ended, whatever became of it: a plugin that had to do so itself would forget those whose client went away,
//! or whose end it missed because it was replaced.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "together"
//! plugin = "concurrency"
//! attach = ["service:search"]
//! config = { amount = 64, source = "client-ip" }
//! ```
//!
//! # How it is made
//!
//! `on_request` is one call of the host, `Gate::enter`. `on_complete` is subscribed only where the guard has to know how
//! many requests the machine can do. This file is the glue; `settings` is what an operator can set, `limiter` what becomes
//! of a request, `capacity` what the machine has been able to do lately.
//!
//! # How it is tested
//!
//! `tests` lets requests in and ends them with the mock's `end_exchanges`; `set_pressure` makes the machine busy.

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
