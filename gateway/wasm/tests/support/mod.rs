//! Guests written by hand, and a host that remembers what they did.
//!
//! A guest is a core module in WAT plus the description of its world, which is what `wasm32-unknown-unknown` makes too.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluice_wasm::{
    Artifact, BucketSpec, Engine, ExchangeHost, Field, Level, Limits, LoadError, PluginLog, PolicyInstance, PolicyPre,
    PolicyState, Reservation,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) const LIMITS: Limits = Limits { deadline: Duration::from_millis(50), memory: 4 << 20 };

/// Worlds of guests that use WASI.
const CHATTY: &str = include_str!("chatty.wit");

/// A policy whose `on-request` has that body; locals `$handle`, `$fields`, `$count`. Its result is the address of a
/// verdict: 2048 is `next(0)`, 4096 is free.
pub(crate) fn policy(on_request: &str) -> String {
    policy_with("", on_request)
}

/// The same with more imports.
pub(crate) fn policy_with(imports: &str, on_request: &str) -> String {
    let imports = format!(
        r#"{imports}
        (import "sluice:gateway/log@0.1.0" "write" (func $log (param i32 i32 i32)))
        (import "sluice:gateway/state@0.1.0" "open-bucket"
            (func $open_bucket (param i32 i32 i32 i64 i64 i64 i32)))
        (import "sluice:gateway/state@0.1.0" "reserve" (func $reserve (param i32 i32 i32 i32 i64 i32)))
        (import "sluice:gateway/exchange@0.1.0" "request-field" (func $request_field (param i32 i32 i32 i32)))
        (import "sluice:gateway/exchange@0.1.0" "set-response-header"
            (func $set_response_header (param i32 i32 i32 i32 i32)))
        (data (i32.const 3072) "x-guest")
        (data (i32.const 3080) "was here")
        (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"#
    );
    let open = "(call $open_bucket (i32.const 3072) (i32.const 1) (i32.const 0) (i64.const 1) (i64.const 1) (i64.const 1) (i32.const 4096))";
    let bare = include_str!("../../../../tests/guests/bare-policy.wat");
    bare.replace("{imports}", &imports).replace("{configure}", open).replace("{on-request}", on_request)
}

/// A router that contributes nothing.
pub(crate) fn router() -> String {
    router_with("", "(i32.const 1024)")
}

/// The same with more imports and that `configure`. Its result is the address of a result: 1024 is an empty `ok`.
pub(crate) fn router_with(imports: &str, configure: &str) -> String {
    let plugin = "sluice:gateway/router-plugin@0.1.0";
    format!(
        r#"(module
            {imports}
            (memory (export "memory") 2)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
            (func (export "{plugin}#configure") (param i32 i32 i32) (result i32) {configure})
            (func (export "{plugin}#contribute") (param i32 i32 i32 i32 i32) (result i32) (i32.const 1024))
        )"#
    )
}

/// The core module with its description.
pub(crate) fn described(wat: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(wit).unwrap();
    let package = if world.starts_with("chatty") { resolve.push_str("chatty.wit", CHATTY).unwrap() } else { package };
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// The component.
pub(crate) fn component(wat: &str, world: &str) -> Vec<u8> {
    ComponentEncoder::default().module(&described(wat, world)).unwrap().encode().unwrap()
}

pub(crate) fn load(bytes: &[u8]) -> Result<Artifact, LoadError> {
    Artifact::load(&Engine::new(None).unwrap(), "guest", bytes)
}

/// An instance of the policy with that `on-request`, configured as use 0.
pub(crate) fn start(on_request: &str) -> PolicyInstance<Exchange> {
    let artifact = load(&described(&policy(on_request), "policy")).unwrap();
    start_artifact(&artifact, Arc::new(Journal::default()))
}

pub(crate) fn start_artifact(artifact: &Artifact, journal: Arc<Journal>) -> PolicyInstance<Exchange> {
    let policy = PolicyPre::new(artifact).unwrap();
    let mut instance = PolicyInstance::new(&policy, LIMITS, journal.clone()).unwrap();
    instance.configure(0, "{}", journal).unwrap().unwrap();
    instance
}

/// An exchange with a method and a note of the header that was set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) set: Vec<(String, String)>,
}

impl ExchangeHost for Exchange {
    fn request_field(&self, field: Field<'_>) -> Option<String> {
        match field {
            Field::Method => Some("BREW".to_owned()),
            Field::ClientIp => Some("10.0.0.1".to_owned()),
            _ => None,
        }
    }

    fn set_request_header(&mut self, _: &str, _: &str) -> Result<(), String> {
        Err("not here".to_owned())
    }

    fn remove_request_header(&mut self, _: &str) -> Result<(), String> {
        Err("not here".to_owned())
    }

    fn set_response_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.set.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn remove_response_header(&mut self, _: &str) -> Result<(), String> {
        Err("not here".to_owned())
    }
}

/// State and log that write down what they are asked.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) lines: Mutex<Vec<(Level, String)>>,
    pub(crate) opened: Mutex<Vec<String>>,
    pub(crate) reserved: Mutex<Vec<String>>,
    /// What reservations give; at once where there is none.
    pub(crate) answer: Mutex<Option<Reservation>>,
}

impl Journal {
    /// From now on tokens are granted after that time.
    pub(crate) fn wait(&self, time: Duration) {
        self.answer.lock().unwrap().replace(Reservation::Granted { wait_ns: nanoseconds(time), remaining: 0 });
    }

    /// From now on none are granted.
    pub(crate) fn refuse(&self, retry_in: Duration) {
        self.answer.lock().unwrap().replace(Reservation::Refused { retry_ns: nanoseconds(retry_in), remaining: 0 });
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap()
}

impl PluginLog for Journal {
    fn write(&self, level: Level, message: &str) {
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }
}

impl PolicyState for Journal {
    fn open_bucket(&self, name: &str, _: BucketSpec) -> Result<u32, String> {
        self.opened.lock().unwrap().push(name.to_owned());
        Ok(0)
    }

    fn reserve(&self, _: u32, key: &str, _: u32, _: u64) -> Reservation {
        self.reserved.lock().unwrap().push(key.to_owned());
        self.answer.lock().unwrap().unwrap_or(Reservation::Granted { wait_ns: 0, remaining: 0 })
    }

    fn refund(&self, _: u32, _: &str, _: u32) {}
}
