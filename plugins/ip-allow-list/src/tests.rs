//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use sluice_plugin_sdk::mock::Host;
use sluice_plugin_sdk::policy::{Field, Reply, Verdict};

use super::IpAllowList;

/// The status a client with that address and `X-Forwarded-For` gets, 0 where it passes.
fn status(settings: &str, client: &str, forwarded: Option<&str>) -> u16 {
    let host = Host::new();
    host.set_request(Field::ClientIp, client);
    if let Some(forwarded) = forwarded {
        host.set_request(Field::Header("X-Forwarded-For".into()), forwarded);
    }
    match host.configure::<IpAllowList>(settings).unwrap().request() {
        Verdict::Next(_) => 0,
        Verdict::Respond(Reply { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_connection_counts_where_nothing_else_is_said() {
    let settings = r#"{"sourcerange": "10.0.0.0/8, ::1"}"#;
    for (client, expected) in [("10.1.2.3", 0), ("::ffff:10.1.2.3", 0), ("::1", 0), ("11.0.0.1", 403), ("::2", 403)] {
        assert_eq!(status(settings, client, Some("10.0.0.1")), expected, "{client}");
    }
}

#[test]
fn a_strategy_picks_a_hop() {
    let depth = r#"{"source-range": ["10.0.0.0/8"], "ipstrategy": {"depth": "2"}}"#;
    assert_eq!(status(depth, "1.1.1.1", Some("10.0.0.1, 2.2.2.2")), 0);
    assert_eq!(status(depth, "10.0.0.1", Some("2.2.2.2, 10.0.0.1")), 403);
    assert_eq!(status(depth, "10.0.0.1", Some("10.0.0.1")), 403, "there is no such hop");
    assert_eq!(status(depth, "10.0.0.1", None), 403);
    let excluded = r#"{"source-range": ["10.0.0.0/8"], "ipstrategy": {"excludedips": "1.1.1.1"}}"#;
    assert_eq!(status(excluded, "1.1.1.1", Some("10.0.0.1, 1.1.1.1")), 0);
    assert_eq!(status(excluded, "1.1.1.1", Some("10.0.0.1, 2.2.2.2, 1.1.1.1")), 403);
}

#[test]
fn traefik_1_lets_any_hop_pass() {
    let settings = r#"{"source-range": ["10.0.0.0/8"], "use-x-forwarded-for": "true"}"#;
    for (client, forwarded, expected) in [
        ("10.0.0.1", None, 0),
        ("1.1.1.1", Some("2.2.2.2, 10.0.0.1"), 0),
        ("10.0.0.1", Some("2.2.2.2"), 0),
        ("1.1.1.1", Some("2.2.2.2"), 403),
        ("1.1.1.1", None, 403),
        ("10.0.0.1", Some("unknown, 10.0.0.1"), 403),
    ] {
        assert_eq!(status(settings, client, forwarded), expected, "{client} {forwarded:?}");
    }
}

#[test]
fn the_answer_has_the_status_that_was_set() {
    let host = Host::new();
    let settings = r#"{"sourcerange": "10.0.0.0/8", "rejectstatuscode": "404"}"#;
    let verdict = host.configure::<IpAllowList>(settings).unwrap().request();
    assert_eq!(verdict, Verdict::Respond(Reply::text(404, "Not Found")));
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        ("{}", "`source-range` is empty"),
        (r#"{"sourcerange": "10.0.0.0/33"}"#, "`10.0.0.0/33` is neither an address nor a range"),
        (r#"{"sourcerange": "::1", "rejectstatuscode": 299}"#, "`reject-status-code` is 299, which is no status"),
        (r#"{"sourcerange": "::1", "use-x-forwarded-for": true, "ipstrategy": {"depth": 1}}"#, "keep one"),
        (r#"{"sourcrange": "::1"}"#, "unknown field `sourcrange`"),
    ] {
        let Err(error) = Host::new().configure::<IpAllowList>(settings) else { panic!("{settings} was accepted") };
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::list::RawSettings>(path, include_str!("schema.json"));
}
