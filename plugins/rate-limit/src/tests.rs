//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::{Field, Hooks, Reply, Verdict};

use super::RateLimit;

const HALF_INTERVAL: Duration = Duration::from_millis(50);

fn configure(host: &Host, settings: &str) -> Use<RateLimit> {
    host.set_request(Field::ClientIp, "10.0.0.1");
    host.configure(settings).unwrap()
}

fn refusal(settings: &str) -> String {
    let Err(error) = Host::new().configure::<RateLimit>(settings) else { panic!("{settings} was accepted") };
    error
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn refused(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Respond(reply) => reply,
        other => panic!("not refused: {other:?}"),
    }
}

/// How many requests in a row go on at once.
fn burst(policy: &mut Use<RateLimit>) -> usize {
    (0..1_000).take_while(|_| policy.request() == Verdict::next()).count()
}

#[test]
fn no_average_is_no_limit_and_no_hook() {
    for settings in ["{}", "", r#"{"average": 0}"#, r#"{"average": "0", "burst": 5}"#] {
        let host = Host::new();
        let mut policy = configure(&host, settings);
        assert_eq!(policy.subscription().hooks, Hooks::empty());
        assert_eq!(burst(&mut policy), 1_000);
    }
}

#[test]
fn v3_delays_up_to_half_an_interval() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 10}"#);
    assert_eq!(policy.request(), Verdict::next());
    host.advance(Duration::from_millis(60));
    assert_eq!(policy.request(), Verdict::delay(Duration::from_millis(40)));
    // The token of 200 ms is 90 ms away: more than half an interval.
    host.advance(HALF_INTERVAL);
    assert_eq!(refused(policy.request()).status, 429);
    // Exactly half an interval is waited.
    host.advance(Duration::from_millis(40));
    assert_eq!(policy.request(), Verdict::delay(HALF_INTERVAL));
}

#[test]
fn v3_answers_as_traefik_does() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "period": "1m30s"}"#);
    policy.request();
    host.advance(Duration::from_millis(10_500));
    let reply = refused(policy.request());
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"Too Many Requests"[..]));
    assert_eq!(header(&reply, "Retry-After"), Some("80"));
    assert_eq!(header(&reply, "X-Retry-In"), Some("1m19.5s"));
}

#[test]
fn v3_waits_half_a_second_at_most_below_one_a_second() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "period": 60}"#);
    policy.request();
    host.advance(Duration::from_millis(59_499));
    assert_eq!(refused(policy.request()).status, 429);
    host.advance(Duration::from_millis(1));
    assert_eq!(policy.request(), Verdict::delay(Duration::from_millis(500)));
}

#[test]
fn v3_wait_follows_the_whole_tokens_a_second() {
    // 1.9 tokens a second count as 1: half a second, though half an interval would be 263 ms.
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 19, "period": "10s"}"#);
    policy.request();
    host.advance(Duration::from_millis(100));
    assert!(matches!(policy.request(), Verdict::Delay(_)));
}

#[test]
fn burst_is_spent_and_refilled() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 100, "burst": 50}"#);
    assert_eq!(burst(&mut policy), 50);
    host.advance(Duration::from_secs(60));
    assert_eq!(burst(&mut policy), 50);
}

#[test]
fn a_burst_below_one_is_one() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "burst": 0}"#);
    assert_eq!(burst(&mut policy), 1);
}

#[test]
fn sources_have_buckets_of_their_own() {
    let x_user = || Field::Header("X-User".into());
    let cases = [
        (r#"{"average": 1}"#, Field::ClientIp),
        (r#"{"average": 1, "source": {"kind": "client-ip"}}"#, Field::ClientIp),
        (r#"{"average": 1, "source": {"kind": "host"}}"#, Field::Host),
        (r#"{"average": 1, "source": {"kind": "header", "name": "X-User"}}"#, x_user()),
        (r#"{"average": 1, "sourcecriterion": {"requestheadername": "X-User"}}"#, x_user()),
        (r#"{"average": 1, "sourceCriterion": {"requestHost": true}}"#, Field::Host),
        (r#"{"average": 1, "sourcecriterion": {"requesthost": "true"}}"#, Field::Host),
        (r#"{"average": 1, "sourcecriterion": {"requesthost": "false"}}"#, Field::ClientIp),
    ];
    for (settings, field) in cases {
        let host = Host::new();
        let mut policy = configure(&host, settings);
        assert_eq!(policy.subscription().request_fields, std::slice::from_ref(&field), "{settings}");
        host.set_request(field.clone(), "one");
        assert_eq!(burst(&mut policy), 1, "{settings}");
        host.set_request(field, "two");
        assert_eq!(burst(&mut policy), 1, "{settings}");
    }
}

#[test]
fn requests_without_the_header_share_a_bucket() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "source": {"kind": "header", "name": "X-User"}}"#);
    assert_eq!(burst(&mut policy), 1);
    host.set_request(Field::Header("x-user".into()), "ann");
    assert_eq!(burst(&mut policy), 1);
}

#[test]
fn v1_refuses_at_once() {
    let host = Host::new();
    let mut policy =
        configure(&host, r#"{"mode": "traefik-v1", "rates": [{"average": "5", "period": "3s", "burst": "2"}]}"#);
    assert_eq!(burst(&mut policy), 2);
    let reply = refused(policy.request());
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"max rate reached: retry-in 600ms"[..]));
    assert_eq!(header(&reply, "Retry-After"), Some("1"));
    assert_eq!(header(&reply, "X-Retry-In"), Some("600ms"));
    host.advance(Duration::from_millis(101));
    assert_eq!(header(&refused(policy.request()), "Retry-After"), Some("0"));
}

#[test]
fn v1_rounds_halves_to_even() {
    for (period, expected) in [("500ms", "0"), ("1500ms", "2"), ("2500ms", "2"), ("2501ms", "3")] {
        let host = Host::new();
        let rate = format!(r#"{{"mode": "traefik-v1", "average": 1, "burst": 1, "period": "{period}"}}"#);
        let mut policy = configure(&host, &rate);
        policy.request();
        assert_eq!(header(&refused(policy.request()), "Retry-After"), Some(expected), "{period}");
    }
}

#[test]
fn v1_needs_a_token_of_every_rate_and_keeps_none_when_refused() {
    let host = Host::new();
    let mut policy = configure(
        &host,
        r#"{"mode": "traefik-v1", "rates": [
            {"average": 1, "period": "10s", "burst": 3},
            {"average": 1, "period": "1s", "burst": 1}]}"#,
    );
    assert_eq!(policy.request(), Verdict::next());
    for _ in 0..10 {
        assert_eq!(header(&refused(policy.request()), "X-Retry-In"), Some("1s"));
    }
    host.advance(Duration::from_secs(1));
    assert_eq!(policy.request(), Verdict::next());
    host.advance(Duration::from_secs(1));
    assert_eq!(policy.request(), Verdict::next());
    host.advance(Duration::from_secs(1));
    assert_eq!(header(&refused(policy.request()), "X-Retry-In"), Some("7s"));
}

#[test]
fn v1_keeps_the_last_rate_of_a_period() {
    let host = Host::new();
    let mut policy = configure(
        &host,
        r#"{"mode": "traefik-v1", "rates": [
            {"average": 1, "period": "10s", "burst": 3},
            {"average": 1, "period": 10, "burst": 7}]}"#,
    );
    assert_eq!(burst(&mut policy), 7);
}

#[test]
fn other_limits_do_not_refill() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "period": "1h", "burst": 5}"#);
    assert_eq!(burst(&mut policy), 5);
    policy.reconfigure(r#"{"average": 2, "period": "1h", "burst": 50}"#).unwrap();
    assert_eq!(burst(&mut policy), 0);
}

#[test]
fn mistakes_are_named() {
    let known = [
        (r#"{"averag": 1}"#, "unknown field `averag`, expected one of `average`, `period`, `burst`"),
        (r#"{"average": -1}"#, "invalid type: integer `-1`, expected a whole number of at least 0"),
        (r#"{"average": "ten"}"#, "invalid value: string \"ten\", expected a whole number of at least 0"),
        (r#"{"average": true}"#, "invalid type: boolean `true`, expected a whole number of at least 0"),
        (r#"{"average": 1, "period": "1d"}"#, "invalid value: string \"1d\", expected a duration such as `1s`"),
        (r#"{"average": 1, "mode": "v3"}"#, "unknown variant `v3`, expected `traefik-v3` or `traefik-v1`"),
        (r#"{"source": {"kind": "ip"}}"#, "unknown variant `ip`, expected one of `client-ip`, `header`, `host`"),
        (r#"{"source": {"kind": "header"}}"#, "`source` of kind `header` needs the header's `name`"),
        (r#"{"source": {"kind": "header", "name": "a b"}}"#, "`a b` is not the name of a header"),
        (r#"{"source": {"kind": "host", "name": "x"}}"#, "`source.name` is for kind `header` only; remove it"),
        (
            r#"{"sourcecriterion": {"ipstrategy": {"depth": 1}}}"#,
            "unknown field `ipstrategy`, expected one of `requestHeaderName`",
        ),
        (r#"{"sourcecriterion": {"requestheadername": "a", "requesthost": true}}"#, "keep one"),
        (r#"{"source": {"kind": "host"}, "sourcecriterion": {"requesthost": true}}"#, "keep one of them"),
        (r#"{"average": 1, "rates": [{"average": 1}]}"#, "`rates` is for mode `traefik-v1`"),
        (r#"{"mode": "traefik-v1"}"#, "a rate needs `average` in mode `traefik-v1`"),
        (r#"{"mode": "traefik-v1", "rates": [{"average": 1, "period": "1s"}]}"#, "a rate needs `burst`"),
        (
            r#"{"mode": "traefik-v1", "rates": [{"average": 1, "period": 0, "burst": 1}]}"#,
            "`period` of a rate must be more than 0",
        ),
    ];
    for (settings, expected) in known {
        let error = refusal(settings);
        assert!(error.contains(expected), "{settings}: {error}");
    }
}
