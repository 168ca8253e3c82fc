//! Rate limiting as Traefik does it, in both its generations: one token bucket for each source of requests, kept by the
//! host. This file is the glue; `settings` says what an operator can set, `limiter` what becomes of a request.

mod duration;
mod limiter;
mod settings;

use limiter::Limiter;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{Fields, Policy, Subscription, Verdict};

/// One configured limit.
struct RateLimit(Limiter);

impl Policy for RateLimit {
    type Settings = RawSettings;

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let limiter = Limiter::open(Settings::check(settings)?)?;
        let subscription = limiter.subscription();
        Ok((Self(limiter), subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        // Without the header the empty value is a source like any other, as in Traefik.
        self.0.decide(fields.get(0).unwrap_or_default())
    }
}

sluice_plugin_sdk::export_policy!(RateLimit);

#[cfg(test)]
mod tests;
