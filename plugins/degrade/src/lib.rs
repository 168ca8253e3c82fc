//! Degradation: something less in place of an answer that failed or that the machine cannot afford now. Traefik's `errors`
//! is one of its uses.
//!
//! # What it decides
//!
//! When: the answer has one of these statuses, the machine is overloaded to some level, it is the time of day, or an
//! operator says so. What: an answer of another service, an earlier good answer, or one made up here.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "pages"
//! plugin = "degrade"
//! attach = ["service:shop"]
//! config = { status = "500-599", service = "pages", query = "/{status}.html", reply = { body = "back soon" } }
//! ```
//!
//! # How it is made
//!
//! `on_request` degrades what must not even be tried, and tells the upstream the level otherwise. `on_response` looks at the
//! status: a `Verdict::Reroute` discards the answer and gets another, at most once for an exchange, so that two services
//! cannot send it to each other for ever. `on_response_body` keeps good answers, and is subscribed only where they are
//! wanted, for an answer that nobody keeps need not be gathered.
//!
//! This file is the glue; `settings` is what an operator can set, `ladder` and `schedule` say when requests are degraded
//! before they fail, `stale` keeps answers for later, `reply` makes answers up, and `degrader` puts these together.
//!
//! # How it is tested
//!
//! `ladder`, `schedule` and `reply` are plain functions of what they are given. `tests` shows the policy statuses and
//! bodies through the SDK's mock.

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
