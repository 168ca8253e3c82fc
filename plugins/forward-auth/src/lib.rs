//! Another server decides who may pass, as Traefik's `forwardauth` has it.
//!
//! # What it decides
//!
//! The server is asked about each request, by a request of this plugin's own. An answer of 200 to 299 lets it pass, with
//! headers of that answer where they are configured; any other answer is what the client gets.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "sso"
//! plugin = "forward-auth"
//! attach = ["entrypoint:websecure"]
//! config = { address = "http://sso.internal/verify", auth-response-headers = ["X-User"] }
//! ```
//!
//! # How it is made
//!
//! It is a plugin of its own because it waits: whoever imports `outbound` is run on a fiber, of which the host has several
//! for each worker, and others need not pay for that. The code does not show it: `outbound::send` returns when the answer
//! is there. Only targets the operator granted can be asked.
//!
//! This file is the glue; `settings` is what an operator can set, `forward` how the server is asked and what is done with
//! its answer.
//!
//! # How it is tested
//!
//! The mock's `on_outbound` is the server: a closure that sees the request and makes an answer.

mod forward;
mod settings;

use forward::Forward;
use settings::RawSettings;
use sluice_plugin_sdk::policy::{BodyVerdict, Fields, Policy, Subscription, Verdict, exchange};

struct ForwardAuth(Forward);

impl Policy for ForwardAuth {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let forward = settings::check(settings)?;
        let wanted = Subscription::new().on_request([]);
        let wanted = match forward.body {
            // As Traefik answers it.
            Some(limit) => wanted.on_request_body(limit).refuse_longer_with(401),
            None => wanted,
        };
        Ok((Self(forward), wanted))
    }

    fn on_request(&mut self, _: Fields) -> Verdict {
        // A body comes later, and permission is asked with it.
        if self.0.body.is_some() && exchange::has_body() {
            return Verdict::next();
        }
        self.0.ask(Vec::new()).map_or_else(Verdict::next, Verdict::Respond)
    }

    fn on_request_body(&mut self, _: u64, body: Vec<u8>) -> BodyVerdict {
        self.0.ask(body).map_or(BodyVerdict::Keep, BodyVerdict::Respond)
    }
}

sluice_plugin_sdk::export_policy!(ForwardAuth);

#[cfg(test)]
mod tests;
