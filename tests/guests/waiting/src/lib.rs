//! A policy that asks somebody else before it lets a request pass, in straight-line code.

use serde::Deserialize;
use sluice_plugin_sdk::policy::outbound::{self, Request};
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict, exchange};

/// Whom it asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    target: String,
    path: String,
}

struct Waiting(Settings);

impl Policy for Waiting {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
        Ok((Self(settings), Subscription::new().on_request([Field::Path])))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let request = Request::get(&self.0.target, &self.0.path);
        let request = request.with_header("x-asked-about", fields.get(0).unwrap_or_default());
        match outbound::send(&request) {
            Ok(answer) if answer.status < 300 => {
                exchange::set_request_header("x-answered", &answer.status.to_string()).ok();
                Verdict::next()
            }
            Ok(answer) => Verdict::Respond(Reply::text(answer.status, answer.body.len().to_string())),
            Err(error) => Verdict::Respond(Reply::text(502, error)),
        }
    }
}

sluice_plugin_sdk::export_policy!(Waiting);
