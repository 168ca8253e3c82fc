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
    /// A header of the answer that the client gets as `x-told` as well.
    tell: Option<String>,
}

struct Waiting(Settings);

impl Policy for Waiting {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
        let wanted = Subscription::new().on_request([Field::Path]);
        let wanted = if settings.tell.is_some() { wanted.on_response(Vec::<String>::new()) } else { wanted };
        Ok((Self(settings), wanted))
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

    fn on_response(&mut self, _: u64, _: u16, _: Fields) -> Verdict {
        let told = self.0.tell.as_deref().and_then(exchange::response_header).unwrap_or_default();
        exchange::set_response_header("x-told", &told).ok();
        Verdict::next()
    }
}

sluice_plugin_sdk::export_policy!(Waiting);
