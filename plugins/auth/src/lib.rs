//! Who may pass: whoever knows a name and its password, sent as they are (`basic`) or as a proof (`digest`).
//!
//! # What it decides
//!
//! A request with the right `Authorization` goes on, with the user's name in a header where one is configured. Any other is
//! answered 401 and told what to show.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "staff"
//! plugin = "auth"
//! attach = ["route:admin"]
//! config = { kind = "basic", users-file = "staff.htpasswd" }
//! ```
//!
//! # How it is made
//!
//! Plugins see no `Authorization` header unless they are granted it: this one is, by `headers:authorization`. What a digest
//! has to remember, the secret its nonces are proven with and the count each was used with, is in cells of the host, for
//! the worker that gave a nonce out is not the one that gets it back.
//!
//! This file is the glue; `check` is what becomes of a request, `settings` what an operator can set, `users` and `hash` are
//! the names and what proves them, `basic` and `digest` the kinds, and `remembered` keeps a password from being hashed
//! with every request.
//!
//! # How it is tested
//!
//! `hash` and `digest` have the vectors of their specifications; `tests` shows the policy headers as browsers send them.

mod basic;
mod check;
mod digest;
mod hash;
mod remembered;
mod settings;
mod users;

use check::Check;
use settings::{RawSettings, Settings};
use sluice_plugin_sdk::policy::{Fields, Policy, Subscription, Verdict};

struct Auth(Check);

impl Policy for Auth {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let check = Check::open(Settings::check(settings)?)?;
        let subscription = check.subscription();
        Ok((Self(check), subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        self.0.decide(&fields)
    }
}

sluice_plugin_sdk::export_policy!(Auth);

#[cfg(test)]
mod tests;
