//! A policy that misbehaves on requests with the header `x-boom`, in the way its settings say.

use std::hint::black_box;

use serde::Deserialize;
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::Kv;
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict, exchange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Loop,
    Fill,
    Memory,
    Recursion,
    Trap,
    Headers,
    LineBreak,
    Framing,
    Status,
    HugeString,
    RequestHeaders,
    LogFlood,
    KvFlood,
}

struct Hostile(Mode);

impl Policy for Hostile {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
        Ok((Self(settings.mode), Subscription::new().on_request([Field::Header("x-boom".into())])))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        match fields.get(0) {
            Some(_) => self.boom(),
            None => Verdict::next(),
        }
    }
}

impl Hostile {
    fn boom(&self) -> Verdict {
        let reply = || Reply::text(200, "hostile");
        match self.0 {
            Mode::Loop => loop {
                black_box(0);
            },
            Mode::Fill => {
                let mut bytes = vec![0_u8; 8 << 20];
                for round in 0_u8.. {
                    bytes.fill(round % 251);
                    black_box(&bytes);
                }
                Verdict::next()
            }
            Mode::Memory => {
                let mut held = Vec::new();
                loop {
                    held.push(vec![1_u8; 1 << 20]);
                    black_box(&held);
                }
            }
            Mode::Recursion => {
                black_box(deep(black_box(1)));
                Verdict::next()
            }
            Mode::Trap => std::process::abort(),
            Mode::Headers => Verdict::Respond(
                (0..40_000).fold(reply(), |reply, number| reply.with_header(format!("x-{number}"), "1")),
            ),
            Mode::LineBreak => {
                let refused = exchange::set_response_header("x-split", "a\r\nset-cookie: b").is_err();
                let refused = refused && exchange::set_request_header("x split", "a").is_err();
                let name = if refused { "x-refused" } else { "x-taken" };
                Verdict::Respond(reply().with_header(name, "a\r\nset-cookie: b"))
            }
            Mode::Framing => Verdict::Respond(reply().with_header("Content-Length", "3")),
            Mode::Status => Verdict::Respond(Reply::text(101, "hostile")),
            Mode::HugeString => {
                let huge = "x".repeat(6 << 20);
                exchange::set_response_header("x-huge", &huge).ok();
                Verdict::next()
            }
            Mode::RequestHeaders => {
                for number in 0..40_000 {
                    exchange::set_request_header(&format!("x-{number}"), "1").ok();
                }
                Verdict::next()
            }
            Mode::LogFlood => {
                (0..5_000).for_each(|_| log::info("again and again"));
                Verdict::next()
            }
            Mode::KvFlood => {
                for number in 0..100 {
                    Kv::set(&number.to_string(), &[0; 64 << 10], None).ok();
                }
                Verdict::next()
            }
        }
    }
}

fn deep(depth: u64) -> u64 {
    if depth == 0 { 0 } else { black_box(deep(black_box(depth + 1))) + 1 }
}

sluice_plugin_sdk::export_policy!(Hostile);
