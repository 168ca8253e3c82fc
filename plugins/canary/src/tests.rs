//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::{Field, Verdict};

use super::Canary;

fn configure(host: &Host, settings: &str) -> Use<Canary> {
    host.configure(settings).unwrap()
}

fn there(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Next(_) => false,
        Verdict::Reroute(reroute) if reroute.service == "next" => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_goes_there() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "next", "weight": "20"}"#);
    let count = (0..10_000).filter(|_| there(policy.request())).count();
    assert!((1_800..2_200).contains(&count), "{count} of 10000");
    for (weight, expected) in [(0, "nothing goes to the service"), (101, "between 0 and 100")] {
        let settings = format!(r#"{{"service": "next", "weight": {weight}}}"#);
        let Err(error) = host.configure::<Canary>(&settings) else { panic!("{weight} was accepted") };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_header_decides_for_those_who_send_it() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "next", "header": "X-Canary", "values": "yes, always"}"#);
    assert!(!there(policy.request()));
    for (value, expected) in [("yes", true), ("always", true), ("no", false)] {
        host.set_request(Field::Header("X-Canary".into()), value);
        assert_eq!(there(policy.request()), expected, "{value}");
    }
}

#[test]
fn a_cookie_decides_for_those_who_have_it() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "next", "cookie": "beta", "values": "1"}"#);
    assert!(!there(policy.request()));
    for (value, expected) in [("beta=1; a=b", true), ("a=b; beta=0", false)] {
        host.set_request(Field::Header("Cookie".into()), value);
        assert_eq!(there(policy.request()), expected, "{value}");
    }
    let Err(error) = host.configure::<Canary>(r#"{"service": "next", "cookie": "a", "header": "b"}"#) else { panic!() };
    assert!(error.contains("keep one"), "{error}");
}

#[test]
fn a_client_stays_where_its_cookie_says() {
    let host = Host::new();
    let settings = r#"{"service": "next", "weight": 50, "sticky-cookie": "side", "sticky-seconds": 60}"#;
    let mut policy = configure(&host, settings);
    host.next_random(4_999);
    assert!(there(policy.request()));
    assert_eq!(
        host.response_header("Set-Cookie").as_deref(),
        Some("side=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax")
    );
    for (value, expected) in [("1", true), ("0", false)] {
        host.set_request(Field::Cookie("side".into()), value);
        assert!((0..100).all(|_| there(policy.request()) == expected), "{value}");
    }
    host.set_request(Field::Cookie("side".into()), "7");
    host.next_random(5_000);
    assert!(!there(policy.request()), "a cookie that says nothing is drawn again");
    host.set_request(Field::Cookie("side".into()), "0");
    let mut all = configure(&host, r#"{"service": "next", "weight": 100, "sticky-cookie": "side"}"#);
    assert!(there(all.request()), "nobody is left behind when all go there");
}

#[test]
fn a_source_is_sticky_without_a_cookie() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "next", "weight": 30, "sticky-by": "header:X-User"}"#);
    let mut ask = |user: &str| {
        host.set_request(Field::Header("X-User".into()), user);
        there(policy.request())
    };
    let first: Vec<_> = (0..2_000).map(|user| ask(&format!("user-{user}"))).collect();
    let again: Vec<_> = (0..2_000).map(|user| ask(&format!("user-{user}"))).collect();
    assert_eq!(first, again);
    let count = first.iter().filter(|there| **there).count();
    assert!((500..700).contains(&count), "{count} of 2000");
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::split::RawSettings>(path, include_str!("schema.json"));
}
