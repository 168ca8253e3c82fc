//! Rate limiting: as Traefik does it, in both its generations, and in modes of our own. What is counted is kept by the
//! host, for each source of requests.
//!
//! This file is the glue; `settings` says what an operator can set, `limiter` what becomes of a request, `warm_up` what a
//! request costs a cold key, and `quota` what clients are told.

mod limiter;
mod quota;
mod settings;
mod warm_up;

use limiter::Limiter;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{Fields, Policy, Subscription, Verdict};

/// One configured limit.
struct RateLimit(Limiter);

impl Policy for RateLimit {
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
        // Without the header the empty value is a source like any other, as in Traefik.
        self.0.decide(&fields)
    }

    fn on_response(&mut self, _: u64, _: u16, headers: Fields) -> Verdict {
        self.0.settle(headers.get(0));
        Verdict::next()
    }
}

sluice_plugin_sdk::export_policy!(RateLimit);

#[cfg(test)]
mod tests;
