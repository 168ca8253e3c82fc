//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::state::Forced;
use sluice_plugin_sdk::policy::{Failure, Field, Hooks, Outcome, Reply, Verdict};

use super::CircuitBreaker;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A configured breaker with its host.
struct Bench {
    host: Host,
    policy: Use<CircuitBreaker>,
}

impl Bench {
    fn new(settings: &str) -> Self {
        let host = Host::new();
        host.set_request(Field::Route, "shop");
        let policy = host.configure(settings).unwrap();
        Self { host, policy }
    }

    /// One exchange that ends with a status after a time; answers the status the client gets.
    fn exchange_of(&mut self, status: u16, took: Duration) -> u16 {
        self.ending(Outcome { upstream_status: Some(status), ..Outcome::new(status, took) })
    }

    fn exchange(&mut self, status: u16) -> u16 {
        self.exchange_of(status, MS)
    }

    fn ending(&mut self, outcome: Outcome) -> u16 {
        match self.policy.request() {
            Verdict::Next(context) => {
                let status = outcome.status;
                self.policy.complete(context, outcome);
                status
            }
            Verdict::Respond(reply) => reply.status,
            other => panic!("{other:?}"),
        }
    }

    fn exchanges(&mut self, statuses: &[u16]) -> Vec<u16> {
        statuses.iter().map(|status| self.exchange(*status)).collect()
    }

    fn state(&self) -> String {
        let published = self.host.published().unwrap_or_default();
        let state = published.split_once(r#""state":""#).and_then(|(_, rest)| rest.split_once('"'));
        state.map_or_else(String::new, |(state, _)| state.to_owned())
    }
}

fn refusal(settings: &str) -> String {
    let Err(error) = Host::new().configure::<CircuitBreaker>(settings) else { panic!("{settings} was accepted") };
    error
}

#[test]
fn traefiks_breaker_opens_recovers_and_closes() {
    let mut bench = Bench::new(r#"{"expression": "ResponseCodeRatio(500, 600, 0, 600) > 0.5"}"#);
    assert_eq!(bench.exchanges(&[200, 200]), [200, 200]);
    // Half is not more than half, and it looks at most every 100 ms.
    assert_eq!(bench.exchanges(&[500, 500, 500, 500]), [500, 500, 500, 500]);
    bench.host.advance(100 * MS);
    assert_eq!(bench.exchanges(&[500, 200]), [500, 503]);
    assert_eq!(bench.state(), "open");

    bench.host.advance(10 * S - MS);
    assert_eq!(bench.exchange(200), 503);
    bench.host.advance(MS);
    assert_eq!(bench.exchange(200), 503, "the first request after the fallback time is refused");
    assert_eq!(bench.state(), "recovering");
    bench.host.advance(9 * S);
    let passed = (0..100).filter(|_| bench.exchange(200) == 200).count();
    assert!((43..=45).contains(&passed), "{passed} of 100 passed after nine tenths of the recovery");
    bench.host.advance(S + MS);
    assert!((0..10).all(|_| bench.exchange(200) == 200));
    assert_eq!(bench.state(), "closed");
}

#[test]
fn traefiks_breaker_trips_again_while_it_recovers() {
    let mut bench = Bench::new(
        r#"{"expression": "NetworkErrorRatio() > 0.3", "checkperiod": "10ms", "fallbackduration": "1s",
            "recoveryduration": "1s", "responsecode": "429"}"#,
    );
    assert_eq!(bench.exchanges(&[502, 200]), [502, 429], "a single failure is enough");
    bench.host.advance(S);
    bench.exchange(200);
    bench.host.advance(900 * MS);
    while bench.exchange(504) == 429 {}
    assert_eq!(bench.state(), "open");
    bench.host.advance(S - MS);
    assert_eq!(bench.exchange(200), 429);
}

#[test]
fn only_502_and_504_are_network_errors() {
    let mut bench = Bench::new(r#"{"expression": "NetworkErrorRatio() > 0.1", "checkperiod": 0}"#);
    assert_eq!(bench.exchanges(&[500, 503, 501, 200]), [500, 503, 501, 200]);
    assert_eq!(bench.exchanges(&[504, 200]), [504, 503]);
}

#[test]
fn latencies_and_numbers_of_requests_open_it() {
    let expression = "LatencyAtQuantileMS(50.0) > 100 && RequestThreshold() > 2";
    let mut bench = Bench::new(&format!(r#"{{"expression": "{expression}", "checkperiod": 0}}"#));
    for _ in 0..2 {
        assert_eq!(bench.exchange_of(200, 200 * MS), 200);
    }
    assert_eq!(bench.exchange_of(200, 200 * MS), 200);
    assert_eq!(bench.exchange(200), 503);
    let published = bench.host.published().unwrap();
    assert!(published.contains("LatencyAtQuantileMS(50.0) is 2") && published.contains("> 100"), "{published}");
}

#[test]
fn ratios_need_a_minimum_of_calls() {
    let settings = r#"{"mode": "error-ratio", "threshold": "0.5", "minimum-calls": 4, "check-period": 0}"#;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.exchanges(&[500, 500, 500, 200, 200]), [500, 500, 500, 200, 503]);
    let mut bench = Bench::new(settings);
    assert_eq!(bench.exchanges(&[500, 500, 200, 200, 200]), [500, 500, 200, 200, 200], "half is not more than half");
}

#[test]
fn the_window_slides() {
    let mut bench = Bench::new(r#"{"threshold": 0.5, "minimum-calls": 4, "window": "10s", "check-period": 0}"#);
    assert_eq!(bench.exchanges(&[500, 500, 500]), [500, 500, 500]);
    bench.host.advance(11 * S);
    assert_eq!(bench.exchanges(&[200, 200, 200, 500, 200]), [200, 200, 200, 500, 200]);
}

#[test]
fn slow_calls_count_as_such() {
    let mut bench = Bench::new(
        r#"{"mode": "slow-ratio", "slower-than": "100ms", "threshold": 0.4, "minimum-calls": 2, "check-period": 0}"#,
    );
    assert_eq!(bench.exchange_of(500, 100 * MS), 500);
    assert_eq!(bench.exchange_of(200, 101 * MS), 200);
    assert_eq!(bench.exchange(200), 503);
}

#[test]
fn the_last_calls_are_a_window_too() {
    let mut bench = Bench::new(
        r#"{"mode": "error-ratio", "threshold": 0.5, "window-calls": 4, "minimum-calls": 4, "check-period": 0}"#,
    );
    assert_eq!(bench.exchanges(&[500, 500, 200, 200]), [500, 500, 200, 200]);
    // The two oldest failures leave, three of the last four are new.
    assert_eq!(bench.exchanges(&[500, 200, 500, 500, 200]), [500, 200, 500, 500, 503]);
}

#[test]
fn failures_in_a_row_open_it_at_once() {
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 3}"#);
    assert_eq!(bench.exchanges(&[500, 500, 200, 500, 500, 500, 200]), [500, 500, 200, 500, 500, 500, 503]);
}

#[test]
fn failures_are_classified() {
    let settings = r#"{"mode": "consecutive", "threshold": 2, "failures": "429,500-599", "ignored": ["501"]}"#;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.exchanges(&[429, 501, 429, 200]), [429, 501, 429, 503], "501 neither counts nor ends the row");
    let mut bench = Bench::new(settings);
    let failed = |failure| Outcome { failure: Some(failure), ..Outcome::new(502, MS) };
    assert_eq!(bench.ending(failed(Failure::Connect)), 502);
    assert_eq!(bench.ending(failed(Failure::Client)), 502, "a client that leaves is nobody's failure");
    assert_eq!(bench.ending(failed(Failure::Timeout)), 502);
    assert_eq!(bench.exchange(200), 503);
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_and_some_failures_may_count_neither_way() {
    let broken = |failure| Outcome { failure: Some(failure), upstream_status: Some(200), ..Outcome::new(200, MS) };
    let mut bench =
        Bench::new(r#"{"mode": "consecutive", "threshold": 1, "ignored-failures": "timeout, no-instance"}"#);
    for failure in [Failure::Timeout, Failure::NoInstance, Failure::Client] {
        bench.ending(broken(failure));
        assert_eq!(bench.exchange(200), 200, "{failure:?}");
    }
    bench.ending(broken(Failure::Protocol));
    assert_eq!(bench.exchange(200), 503);
}

#[test]
fn grpc_codes_may_be_failures() {
    let answer = |code| Outcome { grpc_status: Some(code), upstream_status: Some(200), ..Outcome::new(200, MS) };
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 2, "grpc-failures": "UNAVAILABLE,13"}"#);
    for code in [14, 0, 13, 5, 14] {
        assert_eq!(bench.ending(answer(code)), 200, "{code}");
    }
    bench.ending(answer(13));
    assert_eq!(bench.exchange(200), 503);
}

#[test]
fn only_so_many_are_let_through_at_once() {
    let mut bench = Bench::new(r#"{"max-in-flight": "2", "fallback-service": "spare"}"#);
    assert_eq!([bench.policy.request(), bench.policy.request()], [Verdict::Next(1), Verdict::Next(1)]);
    assert!(matches!(bench.policy.request(), Verdict::Reroute(_)));
    assert_eq!(bench.host.annotations(), [("breaker".to_owned(), "full".to_owned())]);
    bench.host.end_exchanges();
    assert_eq!(bench.policy.request(), Verdict::Next(1));
}

#[test]
fn every_key_has_a_breaker_of_its_own() {
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1, "scope": ["service", "method"]}"#);
    let mut ask = |service: &str, method: &str, status| {
        bench.host.set_request(Field::Service, service);
        bench.host.set_request(Field::Method, method);
        bench.exchange(status)
    };
    assert_eq!([ask("a", "GET", 500), ask("a", "GET", 200)], [500, 503]);
    assert_eq!([ask("a", "POST", 200), ask("b", "GET", 200), ask("a", "GET", 200)], [200, 200, 503]);
}

#[test]
fn an_instance_that_fails_is_left_out_longer_each_time() {
    let mut bench = Bench::new(
        r#"{"mode": "consecutive", "threshold": 2, "scope": "instance", "open-duration": "10s", "open-factor": 2}"#,
    );
    assert_eq!(bench.policy.subscription().hooks, Hooks::ON_COMPLETE);
    let mut fails = |instance: &str, status| {
        let outcome = Outcome { instance: instance.into(), ..Outcome::new(status, MS) };
        bench.policy.complete(0, outcome);
    };
    fails("10.0.0.1:80", 500);
    fails("10.0.0.2:80", 500);
    assert_eq!(bench.host.ejections(), [], "one failure each");
    fails("10.0.0.1:80", 500);
    assert_eq!(bench.host.ejections(), [10 * S]);
    fails("10.0.0.1:80", 500);
    fails("10.0.0.1:80", 500);
    assert_eq!(bench.host.ejections().len(), 1, "it is left out already");
    bench.host.advance(11 * S);
    fails("10.0.0.1:80", 500);
    fails("10.0.0.1:80", 500);
    assert_eq!(bench.host.ejections(), [10 * S, 20 * S]);
}

#[test]
fn probes_decide() {
    let mut bench = Bench::new(
        r#"{"mode": "consecutive", "threshold": 1, "open-duration": "1s", "open-factor": "2", "probes": 2}"#,
    );
    assert_eq!(bench.exchanges(&[500, 200]), [500, 503]);
    bench.host.advance(S);
    assert_eq!(bench.exchanges(&[200, 500, 200]), [200, 500, 503], "the second probe failed");
    bench.host.advance(S);
    assert_eq!(bench.exchange(200), 503, "it is open twice as long now");
    bench.host.advance(S);
    assert_eq!(bench.exchanges(&[200, 200, 200]), [200, 200, 200]);
    assert_eq!(bench.state(), "closed");
}

#[test]
fn soft_mode_refuses_a_share() {
    let mut bench = Bench::new(r#"{"mode": "error-ratio", "soft": "2"}"#);
    for _ in 0..50 {
        assert_eq!(bench.exchange(200), 200, "while all succeeds nothing is refused");
    }
    for _ in 0..1_000 {
        bench.exchange(500);
    }
    let passed = (0..1_000).filter(|_| bench.exchange(500) == 500).count();
    assert!((1..300).contains(&passed), "{passed} of 1000 passed while hardly any succeeded");
    bench.host.advance(60 * S);
    assert_eq!(bench.exchange(200), 200, "what is long ago does not count");
}

#[test]
fn shadow_mode_lets_pass_and_says_so() {
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1, "shadow": true}"#);
    assert_eq!(bench.exchanges(&[500, 200]), [500, 200]);
    assert_eq!(bench.state(), "open");
    assert_eq!(bench.host.annotations(), [("breaker".to_owned(), "would refuse".to_owned())]);
}

#[test]
fn an_operator_has_the_last_word() {
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1}"#);
    bench.host.force(Some(Forced::Open));
    assert_eq!(bench.exchange(200), 503);
    bench.host.force(Some(Forced::Closed));
    assert_eq!(bench.exchanges(&[500, 500]), [500, 500]);
    bench.host.force(None);
    assert_eq!(bench.exchange(200), 503, "closed by force, it still counts");
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1}"#);
    bench.host.force(Some(Forced::Disabled));
    bench.exchange(500);
    bench.host.force(None);
    assert_eq!(bench.exchange(200), 200, "disabled, it does not");
}

#[test]
fn refused_requests_get_what_was_set() {
    let mut bench = Bench::new(
        r#"{"mode": "consecutive", "threshold": 1, "response-code": 418, "body": "{}", "retry-after": true,
            "content-type": "application/json"}"#,
    );
    bench.exchange(500);
    let expected = Reply { status: 418, headers: Vec::new(), body: b"{}".to_vec() };
    let expected = expected.with_header("Content-Type", "application/json").with_header("Retry-After", "10");
    assert_eq!(bench.policy.request(), Verdict::Respond(expected));

    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1, "fallback-service": "spare"}"#);
    bench.exchange(500);
    assert_eq!(bench.policy.request(), Verdict::reroute("spare"));
}

#[test]
fn the_state_outlives_other_settings() {
    let mut bench = Bench::new(r#"{"mode": "consecutive", "threshold": 1}"#);
    bench.exchange(500);
    bench.policy.reconfigure(r#"{"mode": "consecutive", "threshold": 5}"#).unwrap();
    assert_eq!(bench.exchange(200), 503);
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        (r#"{"expression": "NetworkErrorRatio() > 1"}"#, "never holds"),
        (r#"{"expression": "NetworkErrorRatio() > 0.5", "threshold": 1}"#, "`threshold` is for the other modes"),
        (r#"{"mode": "expression"}"#, "needs an `expression`"),
        (r#"{"mode": "consecutive", "expression": "x"}"#, "`expression` is for mode `expression`"),
        (r#"{"threshold": 50}"#, "a ratio is never above 1"),
        (r#"{"mode": "consecutive", "threshold": 0.5}"#, "has to be a number of failures"),
        (r#"{"window": "1s", "window-calls": 5}"#, "keep one"),
        (r#"{"window-calls": 64}"#, "between 1 and 63"),
        (r#"{"window": "1ms"}"#, "between 100ms and 1h"),
        (r#"{"open-factor": 0.5}"#, "between 1 and 100"),
        (r#"{"open-jitter": 2}"#, "between 0 and 1"),
        (r#"{"probes": 0}"#, "between 1 and a million"),
        (r#"{"soft": 0.5}"#, "has to be 1 or more"),
        (r#"{"soft": 2, "scope": "instance"}"#, "before an instance is chosen"),
        (r#"{"response-code": 99}"#, "has to be a status from 200 to 599"),
        (r#"{"fallback-service": "a", "body": "b"}"#, "keep one"),
        (r#"{"fallback-path": "/x"}"#, "needs a `fallback-service`"),
        (r#"{"scope": "instances"}"#, "unknown variant `instances`"),
        (r#"{"thresold": 1}"#, "unknown field `thresold`"),
    ] {
        let error = refusal(settings);
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
