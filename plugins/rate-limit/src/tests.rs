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
fn a_token_bucket_of_our_own_refuses_or_waits_as_told() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"mode": "token-bucket", "average": 10, "burst": 2}"#);
    assert_eq!(burst(&mut policy), 2);
    let reply = refused(policy.request());
    assert_eq!((header(&reply, "Retry-After"), header(&reply, "X-Retry-In")), (Some("1"), None));
    let mut policy = configure(&host, r#"{"mode": "gcra", "average": 10, "burst": 2, "max-wait": "150ms"}"#);
    assert_eq!(policy.request(), Verdict::delay(Duration::from_millis(100)));
    assert_eq!(refused(policy.request()).status, 429);
}

#[test]
fn pacing_spaces_requests_evenly() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"mode": "pacing", "average": "10", "burst": 7, "max-wait": "250ms"}"#);
    let waits = [0, 100, 200].map(|_| policy.request());
    let expected = [Verdict::next(), Verdict::delay(2 * HALF_INTERVAL), Verdict::delay(4 * HALF_INTERVAL)];
    assert_eq!(waits, expected);
    assert_eq!(refused(policy.request()).status, 429, "the queue is 250 ms long");
}

#[test]
fn windows_and_calendars_have_quotas() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"mode": "sliding-window", "average": 3, "period": "1m"}"#);
    assert_eq!(burst(&mut policy), 3);
    host.advance(Duration::from_secs(30));
    assert_eq!(burst(&mut policy), 0);
    host.advance(Duration::from_secs(90));
    assert_eq!(burst(&mut policy), 3);

    // The mock's clock begins at a full minute.
    let host = Host::new();
    let mut policy = configure(&host, r#"{"mode": "calendar", "average": 3, "period": "1m"}"#);
    host.advance(Duration::from_secs(59));
    assert_eq!(burst(&mut policy), 3);
    assert_eq!(header(&refused(policy.request()), "Retry-After"), Some("1"));
    host.advance(Duration::from_secs(1));
    assert_eq!(burst(&mut policy), 3);
}

#[test]
fn a_cold_key_gets_a_part_and_warms_up() {
    let host = Host::new();
    let settings = r#"{"mode": "warm-up", "average": 90, "burst": 1, "warm-up": "10s", "cold-factor": 3}"#;
    let mut policy = configure(&host, settings);
    // A thousand requests a second, of which those the limit grants pass.
    let mut passed = Vec::new();
    for _ in 0..20 {
        let mut count = 0;
        for _ in 0..1_000 {
            count += usize::from(policy.request() == Verdict::next());
            host.advance(Duration::from_millis(1));
        }
        passed.push(count);
    }
    assert!(passed.first().is_some_and(|count| (28..=34).contains(count)), "{passed:?}");
    assert!(passed.last().is_some_and(|count| (80..=90).contains(count)), "{passed:?}");
    assert!(passed.is_sorted_by(|a, b| *a <= b + 3), "it only grows: {passed:?}");
}

#[test]
fn requests_cost_what_they_say() {
    let host = Host::new();
    let mut policy =
        configure(&host, r#"{"mode": "token-bucket", "average": 1, "burst": 10, "cost": "header:X-Cost"}"#);
    host.set_request(Field::Header("X-Cost".into()), "6");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(policy.request()).status, 429, "6 of 4 are left");
    host.set_request(Field::Header("X-Cost".into()), "many");
    assert_eq!(burst(&mut policy), 4);

    let host = Host::new();
    let mut policy =
        configure(&host, r#"{"mode": "token-bucket", "average": 1, "burst": 1000, "cost": "request-bytes"}"#);
    host.set_request(Field::Header("Content-Length".into()), "400");
    assert_eq!(burst(&mut policy), 2);
}

#[test]
fn what_an_answer_costs_is_paid_by_those_that_follow() {
    let host = Host::new();
    let mut policy =
        configure(&host, r#"{"mode": "token-bucket", "average": 1, "burst": 10, "response-cost": "X-Tokens"}"#);
    assert_eq!(policy.request(), Verdict::next());
    host.set_response_header("X-Tokens", "29");
    assert_eq!(policy.response(0, 200), Verdict::next());
    assert_eq!(header(&refused(policy.request()), "Retry-After"), Some("21"), "20 are owed");
    host.advance(Duration::from_secs(22));
    assert_eq!(policy.request(), Verdict::next());
}

#[test]
fn some_keys_have_other_rates_and_some_none() {
    let host = Host::new();
    let settings = r#"{"mode": "token-bucket", "average": 1, "burst": 1, "source": "header:X-Tenant",
        "overrides": [{"keys": "gold, platinum", "average": 5, "burst": 5}], "exempt": ["probe"]}"#;
    let mut policy = configure(&host, settings);
    for (tenant, expected) in [("bronze", 1), ("gold", 5), ("platinum", 5), ("probe", 1_000)] {
        host.set_request(Field::Header("X-Tenant".into()), tenant);
        assert_eq!(burst(&mut policy), expected, "{tenant}");
    }
    let mut policy = configure(&host, r#"{"average": 1, "exempt": "10.0.0.0/8"}"#);
    assert_eq!(burst(&mut policy), 1_000);
    host.set_request(Field::ClientIp, "11.0.0.1");
    assert_eq!(burst(&mut policy), 1);
}

#[test]
fn addresses_of_one_subnet_share_a_bucket() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "sourcecriterion": {"ipstrategy": {"ipv6subnet": "64"}}}"#);
    host.set_request(Field::ClientIp, "2001:db8::1");
    assert_eq!(burst(&mut policy), 1);
    host.set_request(Field::ClientIp, "2001:db8::2");
    assert_eq!(burst(&mut policy), 0);
    host.set_request(Field::ClientIp, "2001:db8:0:1::2");
    assert_eq!(burst(&mut policy), 1);
}

#[test]
fn clients_are_told_their_limit_if_wanted() {
    let host = Host::new();
    let settings = r#"{"mode": "token-bucket", "average": 60, "period": "1m", "burst": 3, "headers": true}"#;
    let mut policy = configure(&host, settings);
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.response_header("RateLimit-Policy").as_deref(), Some(r#""default";q=60;w=60"#));
    assert_eq!(host.response_header("RateLimit").as_deref(), Some(r#""default";r=2;t=1"#));
    burst(&mut policy);
    let reply = refused(policy.request());
    assert_eq!(header(&reply, "RateLimit"), Some(r#""default";r=0;t=1"#));
    assert_eq!(header(&reply, "Retry-After"), Some("1"));
}

#[test]
fn shadow_mode_refuses_nothing_and_says_so() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"average": 1, "shadow": "true"}"#);
    assert_eq!(burst(&mut policy), 1_000);
    assert!(host.annotations().contains(&("rate-limit".to_owned(), "would refuse".to_owned())));
}

#[test]
fn mistakes_are_named() {
    let known = [
        (r#"{"averag": 1}"#, "unknown field `averag`, expected one of `average`, `period`, `burst`"),
        (r#"{"average": -1}"#, "invalid type: integer `-1`, expected a whole number of at least 0"),
        (r#"{"average": "ten"}"#, "invalid value: string \"ten\", expected a whole number of at least 0"),
        (r#"{"average": true}"#, "invalid type: boolean `true`, expected a whole number of at least 0"),
        (r#"{"average": 1, "period": "1d"}"#, "invalid value: string \"1d\", expected a duration such as `1s`"),
        (r#"{"average": 1, "mode": "v3"}"#, "unknown variant `v3`, expected one of `traefik-v3`, `traefik-v1`"),
        (r#"{"source": {"kind": "ip"}}"#, "unknown variant `ip`, expected one of `client-ip`, `header`, `host`"),
        (r#"{"source": {"kind": "header"}}"#, "`source` of kind `header` needs a `name`"),
        (r#"{"source": {"kind": "header", "name": "a b"}}"#, "`a b` is not the name of a header"),
        (r#"{"source": {"kind": "host", "name": "x"}}"#, "`source.name` is for headers, cookies, query parameters"),
        (r#"{"sourcecriterion": {"ipstrategy": {"dept": 1}}}"#, "unknown field `dept`"),
        (r#"{"sourcecriterion": {"requestheadername": "a", "requesthost": true}}"#, "keep one"),
        (r#"{"source": {"kind": "host"}, "sourcecriterion": {"requesthost": true}}"#, "keep one of them"),
        (r#"{"average": 1, "rates": [{"average": 1}]}"#, "`rates` is not for mode `traefik-v3`"),
        (r#"{"average": 1, "max-wait": 1}"#, "`max-wait` is for the modes"),
        (r#"{"average": 1, "warm-up": 1}"#, "are for mode `warm-up`"),
        (r#"{"mode": "warm-up", "average": 1, "cold-factor": 1}"#, "between 2 and 100"),
        (r#"{"mode": "calendar", "average": 1, "period": "90s"}"#, "a number of minutes, hours or days"),
        (r#"{"mode": "gcra", "average": 1, "cost": 0}"#, "`cost` is `0`"),
        (r#"{"mode": "gcra", "average": 1, "cost": "bytes"}"#, "`cost` is `bytes`"),
        (r#"{"average": 1, "overrides": [{"keys": []}]}"#, "one of `overrides` has no `keys`"),
        (r#"{"average": 1, "status": 200}"#, "`status` is 200"),
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

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
