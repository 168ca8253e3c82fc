//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::state::Forced;
use sluice_plugin_sdk::policy::system::Pressure;
use sluice_plugin_sdk::policy::{BodyVerdict, Field, Hooks, Outcome, Reply, Reroute, Verdict};

use super::Degrade;

fn configure(host: &Host, settings: &str) -> Use<Degrade> {
    host.set_request(Field::Method, "GET");
    host.set_request(Field::Host, "shop.test");
    host.set_request(Field::Path, "/a b");
    host.set_request(Field::Query, "c=1&d");
    host.configure(settings).unwrap()
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn rerouted(verdict: Verdict) -> Reroute {
    match verdict {
        Verdict::Reroute(reroute) => reroute,
        other => panic!("not rerouted: {other:?}"),
    }
}

fn answered(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Respond(reply) => reply,
        other => panic!("not answered: {other:?}"),
    }
}

#[test]
fn traefiks_errors_are_answered_by_another_service() {
    let host = Host::new();
    let mut policy = configure(
        &host,
        r#"{"status": "500-503,404", "service": "pages", "query": "/{status}/{originalStatus}?u={url}", "switch": false,
            "statusrewrites": {"500-501": "418"}, "mark": ""}"#,
    );
    assert_eq!(policy.subscription().hooks, Hooks::ON_RESPONSE);
    for status in [200, 403, 504] {
        assert_eq!(policy.response(0, status), Verdict::next(), "{status}");
    }
    let reroute = rerouted(policy.response(0, 503));
    assert_eq!(
        (reroute.service.as_str(), reroute.method.as_deref(), reroute.status),
        ("pages", Some("GET"), Some(503))
    );
    assert_eq!(reroute.path.as_deref(), Some("/503/503?u=%2Fa+b%3Fc%3D1%26d"));
    assert!(reroute.headers.is_empty());
    let reroute = rerouted(policy.response(0, 500));
    assert_eq!((reroute.status, reroute.path.as_deref()), (Some(418), Some("/418/500?u=%2Fa+b%3Fc%3D1%26d")));
}

#[test]
fn only_some_headers_reach_the_error_service_if_wanted() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "pages", "query": "", "errorrequestheaders": "X-Lang"}"#);
    host.set_request(Field::Header("X-Lang".into()), "de");
    host.set_request(Field::Header("X-Secret".into()), "s");
    let reroute = rerouted(policy.response(0, 502));
    assert_eq!(reroute.path.as_deref(), Some("/"));
    assert_eq!(host.request(&Field::Header("X-Secret".into())), None);
    assert_eq!(host.request(&Field::Header("X-Lang".into())).as_deref(), Some("de"));
}

#[test]
fn a_reply_is_filled_in_and_marked() {
    let host = Host::new();
    let mut policy = configure(
        &host,
        r#"{"status": "500-599", "reply": {"headers": {"X-Status": "{status}"},
            "bodies": {"text/html": "<p>{url}", "application/json": "{\"status\":{status}}"}}}"#,
    );
    host.set_request(Field::Header("Accept".into()), "text/html");
    host.set_request(Field::Path, "/<script>\"");
    let reply = answered(policy.response(0, 500));
    assert_eq!((reply.status, reply.body.as_slice()), (500, &b"<p>/script"[..]));
    assert_eq!((header(&reply, "X-Status"), header(&reply, "X-Degraded")), (Some("500"), Some("status 500")));
    assert_eq!(header(&reply, "Vary"), Some("Accept"));
    host.set_request(Field::Header("Accept".into()), "application/json");
    let reply = answered(policy.response(0, 504));
    assert_eq!(
        (reply.body.as_slice(), header(&reply, "Content-Type")),
        (&br#"{"status":504}"#[..], Some("application/json"))
    );
    assert_eq!(host.annotations().pop(), Some(("degraded".to_owned(), "status 504".to_owned())));
}

#[test]
fn a_good_answer_stands_in_while_it_is_not_too_old() {
    let host = Host::new();
    let settings = r#"{"stale": {"for": "10m"}, "reply": {"body": "sorry"}}"#;
    let mut policy = configure(&host, settings);
    host.set_response_header("Content-Type", "text/css");
    assert_eq!(policy.response_body(0, 200, b"not marked"), BodyVerdict::Keep);
    host.set_response_header("Cache-Control", "max-age=1");
    policy.response_body(0, 200, b"body {}");
    policy.response_body(0, 404, b"no");
    host.advance(Duration::from_secs(60));
    let reply = answered(policy.response(0, 503));
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"body {}"[..]));
    assert_eq!((header(&reply, "content-type"), header(&reply, "Age")), (Some("text/css"), Some("60")));
    assert_eq!(header(&reply, "X-Degraded"), Some("status 503"));
    host.set_request(Field::Query, "c=2");
    assert_eq!(answered(policy.response(0, 503)).body, b"sorry", "it is of another page");
    host.set_request(Field::Query, "c=1&d");
    host.advance(Duration::from_secs(541));
    assert_eq!(answered(policy.response(0, 503)).body, b"sorry", "it is too old");
}

#[test]
fn what_is_somebodys_own_is_not_kept() {
    for (name, value) in [("Cache-Control", "private, max-age=9"), ("Set-Cookie", "a=b"), ("Vary", "Cookie")] {
        let host = Host::new();
        let mut policy = configure(&host, r#"{"stale": {"for": 60}}"#);
        host.set_response_header("Cache-Control", "max-age=9");
        host.set_response_header(name, value);
        policy.response_body(0, 200, b"x");
        assert_eq!(policy.response(0, 503), Verdict::next(), "{name}");
    }
    for field in [Field::Header("Authorization".into()), Field::Header("Cookie".into()), Field::Method] {
        let host = Host::new();
        let mut policy = configure(&host, r#"{"stale": {"for": 60}}"#);
        host.set_response_header("Cache-Control", "public");
        host.set_request(field.clone(), "POST");
        policy.response_body(0, 200, b"x");
        assert_eq!(policy.response(0, 503), Verdict::next(), "{field:?}");
    }
}

#[test]
fn overload_degrades_from_a_level_on_and_tells_the_upstream_before() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"ladder": {"cpu": ["0.7", 0.8, 0.9]}, "from-level": 2, "service": "light"}"#);
    let mut at = |cpu_permille| {
        host.set_pressure(Pressure { cpu_permille, memory_permille: 0, loop_lag_ns: 0 });
        host.advance(Duration::from_secs(1));
        policy.request()
    };
    assert_eq!(at(100), Verdict::next());
    assert_eq!(host.request(&Field::Header("X-Degrade-Level".into())), None);
    assert_eq!(at(750), Verdict::next());
    assert_eq!(host.request(&Field::Header("X-Degrade-Level".into())).as_deref(), Some("1"));
    let reroute = rerouted(at(850));
    assert_eq!((reroute.service.as_str(), reroute.path, reroute.method), ("light", None, None));
    assert_eq!(reroute.headers.first().map(|header| header.value.as_str()), Some("level 2"));
}

#[test]
fn times_and_operators_degrade_everything() {
    let host = Host::new();
    // The mock's clock begins on a Thursday at midnight.
    let mut policy = configure(&host, r#"{"schedule": ["thu 00:01-00:02"], "reply": {"body": "closed"}}"#);
    assert_eq!(policy.request(), Verdict::next());
    host.advance(Duration::from_secs(60));
    assert_eq!(answered(policy.request()).status, 503);
    host.force(Some(Forced::Disabled));
    let Verdict::Next(context) = policy.request() else { panic!("it is disabled") };
    assert_eq!(policy.response(context, 503), Verdict::Next(context));
    host.advance(Duration::from_secs(60));
    host.force(Some(Forced::Open));
    assert_eq!(header(&answered(policy.request()), "X-Degraded"), Some("forced"));
}

#[test]
fn the_service_has_a_cap_of_its_own() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "pages", "cap": "1", "reply": {"body": "full"}}"#);
    let first = rerouted(policy.response(0, 503));
    assert_eq!(answered(policy.response(0, 503)).body, b"full");
    policy.complete(first.context, Outcome::new(503, Duration::ZERO));
    rerouted(policy.response(0, 503));
}

#[test]
fn a_service_that_fails_leaves_the_reply() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "pages", "reply": {"body": "sorry {status}"}}"#);
    let first = rerouted(policy.response(0, 502));
    let reply = answered(policy.response(first.context, 502));
    assert_eq!(
        (reply.body.as_slice(), header(&reply, "X-Degraded")),
        (&b"sorry 502"[..], Some("status 502, and its service fails"))
    );
    host.force(Some(Forced::Open));
    let before = rerouted(policy.request());
    assert_eq!(answered(policy.response(before.context, 504)).body, b"sorry 503");
    host.set_request(Field::Attempt, "1");
    assert_eq!(policy.response(before.context, 503), Verdict::Next(before.context), "its own page");
    host.set_request(Field::Attempt, "0");
    assert_eq!(answered(policy.response(before.context, 503)).body, b"sorry 503", "no instance of it");
}

#[test]
fn without_a_reply_a_failing_service_is_what_it_is() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "pages"}"#);
    let first = rerouted(policy.response(0, 503));
    assert_eq!(policy.response(first.context, 503), Verdict::Next(first.context), "never twice for an exchange");
}

#[test]
fn the_service_has_a_time_of_its_own() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"service": "pages", "timeout": "300ms"}"#);
    assert_eq!(rerouted(policy.response(0, 503)).timeout_ns, 300_000_000);
    host.force(Some(Forced::Open));
    assert_eq!(rerouted(policy.request()).timeout_ns, 300_000_000);
}

#[test]
fn a_level_can_be_set_by_hand() {
    let host = Host::new();
    let mut policy = configure(&host, r#"{"level": "1", "from-level": 2, "reply": {"body": "less"}}"#);
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.request(&Field::Header("X-Degrade-Level".into())).as_deref(), Some("1"));
    policy.reconfigure(r#"{"level": 2, "from-level": 2, "reply": {"body": "less"}}"#).unwrap();
    assert_eq!(answered(policy.request()).body, b"less");
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        ("{}", "it does nothing"),
        (r#"{"status": "5xx", "service": "a"}"#, "`5xx` is neither a status nor a range"),
        (r#"{"service": "a", "query": "x"}"#, "has to begin with `/`"),
        (r#"{"reply": {}, "query": "/"}"#, "need a `service`"),
        (r#"{"service": "a", "status-rewrites": {"500": 99}}"#, "leads to 99"),
        (r#"{"service": "a", "from-level": 4}"#, "between 1 and 3"),
        (r#"{"reply": {"status": 99}}"#, "`reply.status` is 99"),
        (r#"{"reply": {"headers": {"a b": "c"}}}"#, "`a b` is not the name of a header"),
        (r#"{"reply": {}, "timeout": "1s"}"#, "need a `service`"),
        (r#"{"level": 4}"#, "`level` is 4"),
        (r#"{"level": 1, "ladder": {"cpu": [0.5]}}"#, "keep one"),
        (r#"{"ladder": {}}"#, "`ladder` needs one of"),
        (r#"{"ladder": {"cpu": [0.9, 0.8]}}"#, "up to three rising shares"),
        (r#"{"ladder": {"loop-lag": ["0s"]}}"#, "up to three rising times"),
        (r#"{"service": "a", "schedule": ["noon"]}"#, "`noon` is no time"),
        (r#"{"service": "a", "mark": "a b"}"#, "is not the name of a header"),
    ] {
        let Err(error) = Host::new().configure::<Degrade>(settings) else { panic!("{settings} was accepted") };
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
