//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::system::Pressure;
use sluice_plugin_sdk::policy::{Field, Hooks, Outcome, Reply, Verdict};

use super::Concurrency;

fn configure(host: &Host, settings: &str) -> Use<Concurrency> {
    host.set_request(Field::Host, "shop.test");
    host.configure(settings).unwrap()
}

fn refused(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Respond(reply) => reply,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn nothing_is_no_limit_and_no_hook() {
    for settings in ["{}", r#"{"amount": "0"}"#] {
        let host = Host::new();
        assert_eq!(configure(&host, settings).subscription().hooks, Hooks::empty());
    }
}

#[test]
fn one_more_than_the_amount_is_refused() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"amount": "2"}"#);
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(policy.request(), Verdict::next());
    let reply = refused(policy.request());
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"max connections reached: 2"[..]));
    host.set_request(Field::Host, "other.test");
    assert_eq!(policy.request(), Verdict::next(), "another host has room of its own");
}

#[test]
fn shadow_mode_refuses_nothing() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"amount": 1, "shadow": true}"#);
    assert_eq!((policy.request(), policy.request()), (Verdict::next(), Verdict::next()));
}

#[test]
fn an_unimportant_request_finds_less_room() {
    let host = Host::new();
    let mut policy = configure(
        &host,
        r#"{"amount": 2, "priority": {"by": "header:X-Class", "classes": "live,batch", "shares": [1, 0.5]}}"#,
    );
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(policy.request()).status, 429, "batch may fill half of it");
    host.set_request(Field::Header("X-Class".into()), "live");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(policy.request()).status, 429);
}

#[test]
fn the_guard_sheds_while_the_machine_is_overloaded() {
    let host = Host::new();
    let settings = r#"{"guard": {"cpu": "0.8"}, "priority": {"by": "header:X-Class", "classes": ["live", "batch"]}}"#;
    let mut policy = configure(&host, settings);
    assert_eq!(policy.request(), Verdict::next());
    host.set_pressure(Pressure { cpu_permille: 850, memory_permille: 0, loop_lag_ns: 0 });
    assert_eq!(refused(policy.request()).status, 503);
    host.set_request(Field::Header("X-Class".into()), "live");
    assert_eq!(policy.request(), Verdict::next());
}

#[test]
fn without_classes_the_guard_sheds_a_part() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"guard": {"cpu": 0.8}}"#);
    host.set_pressure(Pressure { cpu_permille: 850, memory_permille: 0, loop_lag_ns: 0 });
    let shed = (0..1_000).filter(|_| policy.request() != Verdict::next()).count();
    assert!((200..300).contains(&shed), "{shed} of 1000, and it is a quarter of the way beyond its limit");
}

#[test]
fn an_overloaded_machine_goes_on_with_what_it_can_do() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"guard": {"cpu": 0.8, "bbr": "true"}}"#);
    assert_eq!(policy.subscription().hooks, Hooks::ON_REQUEST | Hooks::ON_COMPLETE);
    // Three requests in a second, each of them a second long: three under way are what it can do.
    for _ in 0..3 {
        assert_eq!(policy.request(), Verdict::next());
        policy.complete(0, Outcome::new(200, Duration::from_secs(1)));
    }
    host.set_pressure(Pressure { cpu_permille: 950, memory_permille: 0, loop_lag_ns: 0 });
    for _ in 0..3 {
        assert_eq!(policy.request(), Verdict::next());
    }
    assert_eq!(refused(policy.request()).status, 503);
    host.set_pressure(Pressure::default());
    assert_eq!(policy.request(), Verdict::next(), "while it is not overloaded it may try more");
}

#[test]
fn each_class_may_fill_its_part_of_what_the_machine_can_do() {
    let host = Host::new();
    let settings =
        r#"{"guard": {"cpu": 0.8, "bbr": true}, "priority": {"by": "header:X-Class", "classes": "live,batch"}}"#;
    let mut policy = configure(&host, settings);
    for _ in 0..2 {
        assert_eq!(policy.request(), Verdict::next());
        policy.complete(0, Outcome::new(200, Duration::from_secs(1)));
    }
    host.set_pressure(Pressure { cpu_permille: 950, memory_permille: 0, loop_lag_ns: 0 });
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(policy.request()).status, 503, "batch may fill half of it");
    host.set_request(Field::Header("X-Class".into()), "live");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(policy.request()).status, 503);
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        (r#"{"amount": 1, "adaptive": {}}"#, "finds its own `amount`"),
        (r#"{"adaptive": {"min": 30, "start": 20}}"#, "which has to lie between them"),
        (r#"{"guard": {}}"#, "`guard` needs one of"),
        (r#"{"guard": {"cpu": 80}}"#, "has to be below 1"),
        (r#"{"amount": 1, "status": 200}"#, "`status` is 200"),
        (r#"{"amount": 1, "priority": {"by": "header:X", "classes": []}}"#, "needs from 1 to 256 values"),
        (r#"{"amount": 1, "priority": {"by": "header:X", "classes": "a,b", "shares": [1]}}"#, "2 classes and 1 shares"),
        (r#"{"amount": 1, "priority": {"by": "header:X", "classes": "a", "default": "b"}}"#, "none of the classes"),
    ] {
        let Err(error) = Host::new().configure::<Concurrency>(settings) else { panic!("{settings} was accepted") };
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
