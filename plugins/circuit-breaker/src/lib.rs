//! Circuit breaking: requests are kept from what fails, until it has recovered. **Closed means that traffic flows.**
//!
//! This file is the glue. `settings` says what an operator can set, `measure` is what has happened to a key, `machine` the states and what takes a breaker from one to the next, `breaker` what becomes
//! of an exchange, and `report` what the operator sees.

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
