//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::outbound::Response;
use sluice_plugin_sdk::policy::{BodyVerdict, Field, Header, Hooks, Reply, Verdict};

use super::ForwardAuth;

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn refused(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Respond(reply) => reply,
        other => panic!("not refused: {other:?}"),
    }
}

/// A forward check with these options, and a request for it.
fn forward(host: &Host, options: &str) -> Use<ForwardAuth> {
    host.set_request(Field::Method, "POST");
    host.set_request(Field::Path, "/a");
    host.set_request(Field::Query, "b=1");
    host.set_request(Field::Host, "shop.test");
    host.set_request(Field::Scheme, "https");
    host.set_request(Field::ClientIp, "10.0.0.9");
    host.set_request(Field::Header("X-Forwarded-For".into()), "1.1.1.1");
    host.set_request(Field::Header("X-Forwarded-Method".into()), "PUT");
    host.set_request(Field::Header("X-Token".into()), "t");
    host.set_request(Field::Header("Connection".into()), "keep-alive");
    let options = if options.is_empty() { String::new() } else { format!(", {options}") };
    host.configure(&format!(r#"{{"address": "http://auth:4181/verify?x=1"{options}}}"#)).unwrap()
}

fn answers(host: &Host, status: u16, headers: &[(&str, &str)], body: &str) {
    let headers = headers.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: (*value).to_owned() });
    let response = Response { status, headers: headers.collect(), body: body.as_bytes().to_vec() };
    host.on_outbound(move |_| Ok(response.clone()));
}

#[test]
fn the_server_is_asked_with_the_requests_headers() {
    let host = Host::new();
    let mut policy = forward(&host, "");
    answers(&host, 204, &[], "");
    assert_eq!(policy.request(), Verdict::next());
    let asked = host.outbound_requests().pop().unwrap();
    assert_eq!(
        (asked.target.as_str(), asked.method.as_str(), asked.path.as_str()),
        ("http://auth:4181", "GET", "/verify?x=1")
    );
    assert_eq!(asked.timeout_ns, 30_000_000_000);
    let mut headers: Vec<_> =
        asked.headers.iter().map(|header| (header.name.to_lowercase(), header.value.as_str())).collect();
    headers.sort_unstable();
    let expected = [
        ("x-forwarded-for", "10.0.0.9"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-uri", "/a?b=1"),
        ("x-token", "t"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn what_came_with_the_request_is_trusted_if_wanted() {
    let host = Host::new();
    let options =
        r#""trust-forward-header": true, "auth-request-headers": "X-Other", "preserve-request-method": "true""#;
    let mut policy = forward(&host, options);
    answers(&host, 200, &[], "");
    policy.request();
    let asked = host.outbound_requests().pop().unwrap();
    let get = |name: &str| {
        asked.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    };
    assert_eq!(asked.method, "POST");
    assert_eq!((get("X-Forwarded-For"), get("X-Forwarded-Method")), (Some("1.1.1.1, 10.0.0.9"), Some("PUT")));
    assert_eq!(get("X-Token"), None, "only listed headers are passed on");
}

#[test]
fn a_permission_may_change_the_request() {
    let host = Host::new();
    let options = r#""auth-response-headers": ["X-User", "X-Token"], "auth-response-headers-regex": "^x-role",
        "add-auth-cookies-to-response": "sid""#;
    let mut policy = forward(&host, options);
    host.set_request(Field::Header("X-Role-Forged".into()), "admin");
    answers(
        &host,
        200,
        &[("X-User", "ann"), ("X-Role-A", "reader"), ("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "x=2")],
        "",
    );
    assert_eq!(policy.request(), Verdict::next());
    let get = |name: &str| host.request(&Field::Header(name.into()));
    assert_eq!(get("X-User").as_deref(), Some("ann"));
    assert_eq!((get("X-Token"), get("X-Role-Forged")), (None, None), "what the answer does not have is taken away");
    assert_eq!(get("X-Role-A").as_deref(), Some("reader"));
    assert_eq!(host.response_header("Set-Cookie").as_deref(), Some("sid=1; Path=/"));
}

#[test]
fn a_refusal_is_passed_on() {
    let host = Host::new();
    let mut policy = forward(&host, "");
    answers(&host, 302, &[("Location", "/login"), ("Connection", "close"), ("X-Why", "no")], "away");
    let reply = refused(policy.request());
    assert_eq!((reply.status, reply.body.as_slice()), (302, &b"away"[..]));
    assert_eq!(header(&reply, "Location"), Some("http://auth:4181/login"));
    assert_eq!((header(&reply, "X-Why"), header(&reply, "Connection")), (Some("no"), None));

    let mut policy = forward(&host, r#""preserve-location-header": true"#);
    assert_eq!(header(&refused(policy.request()), "Location"), Some("/login"));
    let mut policy = forward(&host, r#""auth-signin-url": "https://login.test/""#);
    assert_eq!(
        header(&refused(policy.request()), "Location"),
        Some("http://auth:4181/login"),
        "only a 401 leads there"
    );
    answers(&host, 401, &[], "");
    let reply = refused(policy.request());
    assert_eq!((reply.status, header(&reply, "Location")), (302, Some("https://login.test/")));
}

#[test]
fn no_answer_is_no_permission() {
    let host = Host::new();
    let mut policy = forward(&host, r#""max-response-body-size": "3""#);
    host.on_outbound(|_| Err("connection refused".to_owned()));
    assert_eq!(refused(policy.request()).status, 500);
    answers(&host, 200, &[], "long");
    assert_eq!(refused(policy.request()).status, 401);
}

#[test]
fn a_body_is_passed_on_if_wanted() {
    let host = Host::new();
    let mut policy = forward(&host, r#""forward-body": true, "max-body-size": 10"#);
    answers(&host, 200, &[], "");
    assert_eq!(
        (policy.subscription().hooks.has(Hooks::REQUEST_BODY), policy.subscription().request_body_limit),
        (true, 10)
    );
    assert_eq!(policy.subscription().request_body_status, 401, "what a longer one is answered");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.outbound_requests().len(), 1, "without a body the server is asked at once");
    host.set_has_body(true);
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.outbound_requests().len(), 1);
    assert_eq!(policy.request_body(0, b"hello"), BodyVerdict::Keep);
    assert_eq!(host.outbound_requests().pop().unwrap().body, b"hello");
    answers(&host, 403, &[], "no");
    assert!(matches!(policy.request_body(0, b"hello"), BodyVerdict::Respond(Reply { status: 403, .. })));
}

#[test]
fn the_log_says_who_was_let_in() {
    let host = Host::new();
    let mut policy = forward(&host, r#""header-field": "X-User""#);
    answers(&host, 200, &[("x-user", "ann")], "");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.annotations(), [("user".to_owned(), "ann".to_owned())]);
}

#[test]
fn tls_is_spoken_as_a_transport_says() {
    let host = Host::new();
    let mut policy = host.configure::<ForwardAuth>(r#"{"address": "https://auth", "transport": "inner"}"#).unwrap();
    answers(&host, 200, &[], "");
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.outbound_requests().pop().unwrap().transport.as_deref(), Some("inner"));
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        ("{}", "`address` is missing"),
        (r#"{"address": "auth"}"#, "has to be a URL"),
        (r#"{"address": "http://a", "auth-response-headers-regex": "("}"#, "`(`"),
        (r#"{"address": "http://a", "auth-response-headers": "a b"}"#, "is not the name of a header"),
        (r#"{"address": "http://a", "transport": "inner"}"#, "without TLS"),
        (r#"{"adress": "http://a"}"#, "unknown field `adress`"),
    ] {
        let Err(error) = Host::new().configure::<ForwardAuth>(settings) else { panic!("{settings} was accepted") };
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
