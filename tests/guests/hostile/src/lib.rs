//! A policy that misbehaves on requests with the header `x-boom`, in the way its settings say.

mod mode;

use std::hint::black_box;

use mode::Mode;
use serde::Deserialize;
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::{Cell, Gate, GateSpec, Kv};
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict, exchange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: String,
}

struct Hostile(Mode, Gate);

impl Policy for Hostile {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
        let mode = Mode::ALL.iter().find(|mode| mode.name() == settings.mode);
        let mode = *mode.ok_or_else(|| format!("there is no mode `{}`", settings.mode))?;
        if mode == Mode::SetFlood {
            (0..10_000).for_each(|number| drop(Cell::open(&number.to_string())));
        }
        let gate = Gate::open("all", &GateSpec::fixed(10))?;
        Ok((Self(mode, gate), Subscription::new().on_request([Field::Header("x-boom".into())])))
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
            Mode::SetFlood => {
                (0..10_000).for_each(|number| drop(Cell::open(&number.to_string())));
                Verdict::next()
            }
            Mode::GateFlood => {
                let inside = (0..10_000).filter(|number| self.1.enter(&number.to_string(), 0).granted).count();
                exchange::set_response_header("x-inside", &inside.to_string()).ok();
                Verdict::next()
            }
            Mode::NoteFlood => {
                (0..10_000).for_each(|number| exchange::annotate(&number.to_string(), &"x".repeat(100)));
                Verdict::next()
            }
        }
    }
}

fn deep(depth: u64) -> u64 {
    if depth == 0 { 0 } else { black_box(deep(black_box(depth + 1))) + 1 }
}

sluice_plugin_sdk::export_policy!(Hostile);
