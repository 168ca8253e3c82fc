//! Rate limiting: as Traefik does it, in both its generations, and in modes of our own.
//!
//! # What it decides
//!
//! Each request has a key, its client's address unless the settings name another `source`, and each key has a bucket. A
//! request takes `cost` tokens out of it. Where they are there it goes on; where they come soon it may wait for them; else
//! it is answered 429. The buckets are the host's: workers share them, and they stay as they are when this plugin is
//! replaced or its limits change. Several rates are several buckets, and a request that one of them refuses gives back
//! what it took from the others.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "edge-limit"
//! plugin = "rate-limit"
//! attach = ["entrypoint:web"]
//! config = { average = 100, period = "1s", burst = 50, source = "header:X-Tenant" }
//! ```
//!
//! `settings` has every key. It reads them in two steps: `RawSettings` is what may arrive, text or number, in Traefik's
//! spelling or ours; `Settings::check` makes of it what cannot be wrong, or a text for the operator that names the key.
//!
//! # How it is made
//!
//! `configure` opens the buckets and says which fields of a request it wants to see: those of the key, and no others, for
//! each costs something. Where there is no limit it subscribes to nothing, and costs nothing. `on_request` gets these
//! fields in that order. `on_response` is subscribed only where the answer says what it has cost.
//!
//! This file is the glue. `limiter` is what becomes of a request, `warm_up` what a request costs a key that was idle,
//! `quota` what clients are told. None of them knows Wasm: they call `Bucket::reserve`, which is the host's in the
//! gateway and the SDK's mock in a test.
//!
//! # How it is tested
//!
//! `tests` configures it with settings as JSON, moves the mock's clock, and compares verdicts; `cargo test -p
//! sluice-rate-limit` takes less than a second and needs neither Wasm nor a gateway.

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
