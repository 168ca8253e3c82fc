//! A policy that does what its settings say, for tests of what the gateway makes of it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sluice_plugin_sdk::policy::state::{self, Gate, GateSpec, Window, WindowSpec};
use sluice_plugin_sdk::policy::{
    BodyVerdict, Field, Fields, Outcome, Policy, Reply, Reroute, Subscription, Verdict, exchange,
};

/// What it does, and when.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// In `on-request`.
    request: Option<Script>,
    /// In `on-response`, for statuses from this one on.
    response: Option<(u16, Script)>,
    /// Exchanges at once.
    in_flight: Option<u32>,
    /// Bodies of up to that many bytes are written in capitals.
    request_body: Option<u64>,
    response_body: Option<u64>,
    /// Trap on requests with this header.
    trap: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Script {
    Respond(u16),
    Retry,
    Reroute { service: String, path: Option<String>, status: Option<u16> },
}

struct Scripted {
    settings: Settings,
    gate: Option<Gate>,
    window: Window,
    /// Requests this instance has been asked about.
    asked: u64,
}

impl Script {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Respond(status) => Verdict::Respond(Reply::text(*status, "scripted")),
            Self::Retry => Verdict::retry(Duration::from_millis(1)),
            Self::Reroute { service, path, status } => {
                let to = Reroute::to(service).with_header("x-rerouted", "yes");
                Verdict::Reroute(Reroute { path: path.clone(), status: *status, ..to })
            }
        }
    }
}

impl Policy for Scripted {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
        let gate = settings.in_flight.map(|limit| Gate::open("in-flight", &GateSpec::fixed(limit))).transpose()?;
        let window = Window::open("seen", WindowSpec::new(10, Duration::from_secs(1)).with_latency())?;
        let fields = [
            Field::Header("authorization".into()),
            Field::Cookie("session".into()),
            Field::QueryParam("q".into()),
            Field::RequestId,
        ];
        let mut wanted = Subscription::new().on_request(fields).on_complete();
        if settings.response.is_some() {
            wanted = wanted.on_response(["x-upstream"]);
        }
        if let Some(limit) = settings.request_body {
            wanted = wanted.on_request_body(limit);
        }
        if let Some(limit) = settings.response_body {
            wanted = wanted.on_response_body(limit);
        }
        Ok((Self { settings, gate, window, asked: 0 }, wanted))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let shown = |place| fields.get(place).unwrap_or("-");
        let all = format!("{} {} {} {}", shown(0), shown(1), shown(2), shown(3).len());
        exchange::set_response_header("x-fields", &all).ok();
        exchange::annotate("scripted", "yes");
        self.asked += 1;
        exchange::set_response_header("x-asked", &self.asked.to_string()).ok();
        if let Some(name) = &self.settings.trap
            && exchange::request_field(&Field::Header(name.clone())).is_some()
        {
            // A trap without a message, as hostile guests have it.
            std::process::abort();
        }
        if let Some(gate) = self.gate
            && !gate.enter("all", 0).granted
        {
            return Verdict::Respond(Reply::text(429, "full"));
        }
        self.settings.request.as_ref().map_or_else(Verdict::next, Script::verdict)
    }

    fn on_request_body(&mut self, _: u64, body: Vec<u8>) -> BodyVerdict {
        BodyVerdict::Replace(body.to_ascii_uppercase())
    }

    fn on_response(&mut self, _: u64, status: u16, _: Fields) -> Verdict {
        match &self.settings.response {
            Some((from, script)) if status >= *from => script.verdict(),
            _ => Verdict::next(),
        }
    }

    fn on_response_body(&mut self, _: u64, _: u16, body: Vec<u8>) -> BodyVerdict {
        BodyVerdict::Replace(body.to_ascii_uppercase())
    }

    fn on_complete(&mut self, _: u64, outcome: Outcome) {
        self.window.observe("all", outcome.status, outcome.failure, outcome.duration());
        let status = json!({
            "status": outcome.status,
            "failure": outcome.failure.map(|failure| format!("{failure:?}")),
            "instance": &*outcome.instance,
            "upstreamStatus": outcome.upstream_status,
            "requestBytes": outcome.request_bytes,
            "responseBytes": outcome.response_bytes,
            "rerouted": outcome.rerouted,
            "seen": self.window.totals("all").requests,
            "errors": self.window.totals("all").errors,
            "forced": state::forced().map(|forced| format!("{forced:?}")),
        });
        state::publish(&status.to_string());
    }
}

sluice_plugin_sdk::export_policy!(Scripted);
