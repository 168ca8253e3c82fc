//! A part of the requests goes to another service: by weight, or by what a header or a cookie says, and a client stays where
//! it has been sent.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "split"
//! plugin = "canary"
//! attach = ["service:shop"]
//! config = { service = "shop-next", weight = 5, sticky-cookie = "shop-side" }
//! ```
//!
//! # How it is made
//!
//! The shortest of the default plugins, and a good one to read first. `configure` checks the settings and subscribes to the
//! fields the split looks at. `on_request` asks `split` for a side; for the other one it says `Verdict::Reroute`, and the
//! host finds the service. Which side a client is on needs no state: it is in the client's own cookie, or follows from a
//! hash of what the client is known by.
//!
//! This file is the glue; `split` says what an operator can set and where a request goes.
//!
//! # How it is tested
//!
//! `tests` sets the mock's random numbers and cookies, and looks at where requests go.

mod split;

use sluice_plugin_sdk::policy::{Fields, Policy, Reroute, Subscription, Verdict, exchange};
use split::{RawSettings, Split, Stay};

struct Canary {
    split: Split,
    buffer: String,
}

impl Policy for Canary {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let split = Split::check(settings)?;
        let subscription = Subscription::new().on_request(split.fields());
        Ok((Self { split, buffer: String::new() }, subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let chosen = self.split.choose(&fields, &mut self.buffer);
        if let Some(cookie) = chosen.cookie {
            // It is made of a checked name and numbers.
            let _ = exchange::add_response_header("Set-Cookie", &cookie);
        }
        match chosen.service {
            Stay::Here => Verdict::next(),
            Stay::At(service) => {
                exchange::annotate("canary", service);
                Verdict::Reroute(Reroute::to(service))
            }
        }
    }
}

sluice_plugin_sdk::export_policy!(Canary);

#[cfg(test)]
mod tests;
