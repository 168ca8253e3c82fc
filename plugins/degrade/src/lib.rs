//! Degradation: something less in place of an answer that failed or that the machine cannot afford now. Traefik's `errors`
//! is one of its uses.
//!
//! This file is the glue; `settings` says what an operator can set, `ladder` and `schedule` when requests are degraded
//! before they fail, `stale` keeps answers for later, `reply` makes answers up, and `degrader` puts these together.

mod degrader;
mod ladder;
mod reply;
mod schedule;
mod settings;
mod stale;

use degrader::Degrader;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{BodyVerdict, Fields, Outcome, Policy, Subscription, Verdict};

struct Degrade(Degrader);

impl Policy for Degrade {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let degrader = Degrader::open(Settings::check(settings)?)?;
        let subscription = degrader.subscription();
        Ok((Self(degrader), subscription))
    }

    fn on_request(&mut self, _: Fields) -> Verdict {
        self.0.on_request()
    }

    fn on_response(&mut self, context: u64, status: u16, _: Fields) -> Verdict {
        self.0.on_response(context, status)
    }

    fn on_response_body(&mut self, context: u64, status: u16, body: Vec<u8>) -> BodyVerdict {
        self.0.on_response_body(context, status, &body);
        BodyVerdict::Keep
    }

    fn on_complete(&mut self, context: u64, _: Outcome) {
        self.0.on_complete(context);
    }
}

sluice_plugin_sdk::export_policy!(Degrade);

#[cfg(test)]
mod tests;
