//! Only clients with certain addresses pass, as Traefik's `ipallowlist` and, in its first generation, `whiteList` do it.
//!
//! # What an operator sets
//!
//! ```toml
//! [[policies]]
//! name = "office"
//! plugin = "ip-allow-list"
//! attach = ["route:admin"]
//! config = { source-range = ["10.0.0.0/8", "2001:db8::/32"] }
//! ```
//!
//! # How it is made
//!
//! It keeps nothing and asks the host for nothing: it subscribes to the client's address, and to `X-Forwarded-For` where
//! the settings say that a proxy in front of the gateway is to be believed, and compares. This file is the glue; `list` says
//! what an operator can set and who passes.
//!
//! # How it is tested
//!
//! `list` is a function of two texts. `tests` goes through the policy as well, for the status and the subscription.

mod list;

use list::{AllowList, RawSettings};
use sluice_plugin_sdk::policy::{Fields, Policy, Reply, Subscription, Verdict};
use sluice_policy_kit::status::reason_phrase;

struct IpAllowList(AllowList);

impl Policy for IpAllowList {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let list = AllowList::check(settings)?;
        let subscription = Subscription::new().on_request(list.fields());
        Ok((Self(list), subscription))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        if self.0.passes(fields.get(0), fields.get(1)) {
            return Verdict::next();
        }
        let status = self.0.reject_status;
        Verdict::Respond(Reply::text(status, reason_phrase(status)))
    }
}

sluice_plugin_sdk::export_policy!(IpAllowList);

#[cfg(test)]
mod tests;
