//! The plugins that come with the gateway, as files: `SLUICE_PLUGINS_DIR` names the directory. Without it nothing is
//! tested here; with it every plugin has to be there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sluice_model::{CatalogInstance, CatalogService, Health};
use sluice_wasm::{Artifact, Engine, Field, PolicyInstance, PolicyPre, RouterInstance, Verdict, World};
use support::{Exchange, Journal, LIMITS};

/// Compiles a plugin, or says that it is skipped.
fn plugin(name: &str) -> Option<Artifact> {
    let Some(directory) = std::env::var_os("SLUICE_PLUGINS_DIR") else {
        println!("SKIPPED: SLUICE_PLUGINS_DIR names no directory with {name}.wasm");
        return None;
    };
    let path = PathBuf::from(directory).join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    Some(Artifact::load(&Engine::new(None).unwrap(), name, &bytes).unwrap())
}

fn start(artifact: &Artifact, journal: Arc<Journal>) -> PolicyInstance<Exchange> {
    PolicyInstance::new(&PolicyPre::new(artifact).unwrap(), LIMITS, journal).unwrap()
}

#[test]
fn rate_limit_reserves_for_the_field_it_names() {
    let Some(artifact) = plugin("rate-limit") else { return };
    assert_eq!(artifact.world(), World::Policy);
    let journal = Arc::new(Journal::default());
    let mut instance = start(&artifact, journal.clone());
    let wanted = instance.configure(0, r#"{"average": "10", "burst": 5}"#, journal.clone()).unwrap().unwrap();
    assert!(wanted.on_request && !wanted.on_response && !wanted.on_complete);
    assert_eq!(wanted.request_fields, [Field::ClientIp]);
    assert!(instance.is_lean());
    let (_, verdict) = instance.on_request_lean(0, Exchange::default(), 1);
    assert_eq!(verdict.unwrap(), Verdict::Next { context: 0 });
    assert_eq!(*journal.opened.lock().unwrap(), ["rate"]);
    assert_eq!(*journal.reserved.lock().unwrap(), ["10.0.0.1"]);
    let (_, verdict) = instance.on_request(0, Exchange::default(), &[Some("10.0.0.1")]);
    assert_eq!(verdict.unwrap(), Verdict::Next { context: 0 }, "a host that knows no lean hooks gets the same");
    assert_eq!(*journal.reserved.lock().unwrap(), ["10.0.0.1", "10.0.0.1"]);
}

#[test]
fn rate_limit_delays_and_refuses_in_the_guests_words() {
    let Some(artifact) = plugin("rate-limit") else { return };
    let journal = Arc::new(Journal::default());
    let mut instance = start(&artifact, journal.clone());
    instance.configure(0, r#"{"average": 10}"#, journal.clone()).unwrap().unwrap();
    journal.wait(Duration::from_millis(40));
    let (_, verdict) = instance.on_request_lean(0, Exchange::default(), 1);
    assert_eq!(verdict.unwrap(), Verdict::Delay { time: Duration::from_millis(40), context: 0 });
    journal.refuse(Duration::from_millis(60));
    let (_, verdict) = instance.on_request_lean(0, Exchange::default(), 1);
    let Verdict::Respond(reply) = verdict.unwrap() else { panic!("not refused") };
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"Too Many Requests"[..]));
    assert!(reply.headers.contains(&("Retry-After".to_owned(), "1".to_owned())));
    assert!(reply.headers.contains(&("X-Retry-In".to_owned(), "60ms".to_owned())));
}

#[test]
fn rate_limit_says_what_is_wrong_with_settings() {
    let Some(artifact) = plugin("rate-limit") else { return };
    let journal = Arc::new(Journal::default());
    let mut instance = start(&artifact, journal.clone());
    let error = instance.configure(0, r#"{"averag": 1}"#, journal).unwrap().unwrap_err();
    assert!(error.starts_with("invalid settings: unknown field `averag`"), "{error}");
    assert!(!instance.is_spent());
}

#[test]
fn traefik_tags_makes_the_same_of_the_same() {
    let Some(artifact) = plugin("traefik-tags") else { return };
    assert_eq!(artifact.world(), World::Router);
    let tags = ["traefik.enable=true", "traefik.frontend.rule=Host:go.example.localhost"];
    let instance = CatalogInstance {
        id: "go-1".to_owned(),
        node: String::new(),
        address: "127.0.0.1".to_owned(),
        port: 9091,
        tags: tags.map(str::to_owned).to_vec(),
        health: Health::Passing,
    };
    let service = CatalogService { name: "web-go".to_owned(), instances: vec![instance] };
    let contribute = || {
        let mut router = RouterInstance::new(&artifact, LIMITS, Arc::new(Journal::default())).unwrap();
        router.configure(0, "{}").unwrap().unwrap();
        router.contribute(0, &service).unwrap()
    };
    let contribution = contribute();
    assert_eq!(contribution.routes.len(), 1, "{contribution:?}");
    assert_eq!(contribution, contribute());
}
