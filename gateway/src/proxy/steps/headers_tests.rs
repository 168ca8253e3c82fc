//! What `headers` makes of requests and answers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use sluice_model::action::TlsRedirect;

use super::super::testing::{answered, exchange, exchange_with_tls};
use super::*;

fn value(text: &'static str) -> Option<HeaderValue> {
    Some(HeaderValue::from_static(text))
}

fn with_cors(cors: Cors) -> Headers {
    Headers { cors: Some(cors), ..Headers::default() }
}

fn with_secure(secure: Secure) -> Headers {
    Headers { secure: Some(secure), ..Headers::default() }
}

/// What becomes of a request, and of the headers of an answer to it.
fn pass(wanted: Headers, exchange: &mut Exchange, answer: &mut HeaderMap) -> Option<Stopped> {
    let step = Arc::new(Native::Headers(Box::new(wanted)));
    match super::super::enter(&step, exchange, &mut None) {
        Entered::Stop(stopped) => return Some(stopped),
        Entered::PassWith(super::super::Leave::Headers(leave)) => leave.apply(answer),
        _ => {}
    }
    None
}

fn preflight_by(origin: &'static str) -> Box<Exchange> {
    let mut request = exchange("OPTIONS", "h.test", "/");
    let headers = &mut request.head.headers;
    headers.insert(ORIGIN, HeaderValue::from_static(origin));
    headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
    headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-a, x-b"));
    request
}

fn answer_to(cors: Cors, origin: &'static str) -> HeaderMap {
    match pass(with_cors(cors), &mut preflight_by(origin), &mut HeaderMap::new()) {
        Some(Stopped::Answered(response)) => {
            assert_eq!(response.status(), 200);
            response.into_parts().0.headers
        }
        _ => panic!("not answered"),
    }
}

#[test]
fn headers_are_set_and_removed_on_both_ways() {
    let name = HeaderName::from_static;
    let wanted = Headers {
        request: vec![(name("x-a"), value("1")), (name("x-b"), None)],
        host: value("other.test:81"),
        response: vec![(name("x-c"), value("2")), (name("server"), None)],
        ..Headers::default()
    };
    let mut request = exchange("GET", "h.test:8000", "/");
    request.head.headers.insert("x-b", HeaderValue::from_static("gone"));
    let mut answer = HeaderMap::from_iter([(name("server"), HeaderValue::from_static("secret"))]);
    assert!(pass(wanted, &mut request, &mut answer).is_none());
    assert_eq!((request.head.headers.get("x-a"), request.head.headers.get("x-b")), (value("1").as_ref(), None));
    assert_eq!((request.host.as_str(), request.authority.to_str().unwrap()), ("other.test", "other.test:81"));
    assert_eq!(request.head.headers.get("x-forwarded-host"), value("h.test:8000").as_ref());
    assert_eq!(request.head.headers.get("x-forwarded-port"), value("8000").as_ref());
    assert_eq!((answer.get("x-c"), answer.get("server")), (value("2").as_ref(), None));
}

#[test]
fn preflights_are_answered_whether_the_origin_may_ask_or_not() {
    let cors = || Cors {
        origins: vec!["https://o.test".into()],
        origin_regexps: vec![r"^https://.*\.o\.test$".parse().unwrap()],
        methods: value("GET,PUT"),
        headers: value("x-a"),
        max_age: HeaderValue::from(5),
        ..Cors::default()
    };
    for (origin, allowed) in
        [("https://o.test", true), ("https://a.o.test", true), ("https://bad.test", false), ("null", false)]
    {
        let headers = answer_to(cors(), origin);
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|found| found == origin), allowed, "{origin}");
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_METHODS), value("GET,PUT").as_ref());
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_HEADERS), value("x-a").as_ref());
        assert_eq!(headers.get(ACCESS_CONTROL_MAX_AGE), value("5").as_ref());
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    }
}

#[test]
fn options_without_what_makes_a_preflight_go_on() {
    let mut request = preflight_by("https://o.test");
    request.head.headers.remove(ACCESS_CONTROL_REQUEST_METHOD);
    assert!(pass(with_cors(Cors::default()), &mut request, &mut HeaderMap::new()).is_none());
    let mut request = preflight_by("https://o.test");
    request.head.method = Method::GET;
    assert!(pass(with_cors(Cors::default()), &mut request, &mut HeaderMap::new()).is_none());
}

#[test]
fn a_star_with_credentials_repeats_what_was_asked_for() {
    let any = || Cors { any_origin: true, methods: value("*"), headers: value("*"), ..Cors::default() };
    let headers = answer_to(any(), "https://o.test");
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), value("*").as_ref());
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_METHODS), value("*").as_ref());
    let headers = answer_to(Cors { credentials: true, ..any() }, "https://o.test");
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), value("https://o.test").as_ref());
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_METHODS), value("PUT").as_ref());
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_HEADERS), value("x-a, x-b").as_ref());
    assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_CREDENTIALS), value("true").as_ref());
}

#[test]
fn answers_say_who_may_read_them_and_vary() {
    let cors = || Cors { origins: vec!["https://o.test".into()], expose: value("x-a"), vary: true, ..Cors::default() };
    for (before, after) in
        [(&[][..], &["Origin"][..]), (&["accept"], &["accept", "Origin"]), (&["a, origin"], &["a, origin"])]
    {
        let mut request = exchange("GET", "h.test", "/");
        request.head.headers.insert(ORIGIN, HeaderValue::from_static("https://o.test"));
        let mut answer = HeaderMap::from_iter(before.iter().map(|before| (VARY, HeaderValue::from_static(before))));
        assert!(pass(with_cors(cors()), &mut request, &mut answer).is_none());
        assert_eq!(answer.get(ACCESS_CONTROL_ALLOW_ORIGIN), value("https://o.test").as_ref());
        assert_eq!(answer.get(ACCESS_CONTROL_EXPOSE_HEADERS), value("x-a").as_ref());
        assert_eq!(answer.get_all(VARY).iter().collect::<Vec<_>>(), after);
    }
    let mut answer = HeaderMap::new();
    assert!(pass(with_cors(cors()), &mut exchange("GET", "h.test", "/"), &mut answer).is_none());
    assert_eq!(answer.get(ACCESS_CONTROL_ALLOW_ORIGIN), None, "no origin asked");
}

#[test]
fn other_hosts_are_refused() {
    let secure = || Secure {
        allowed_hosts: vec!["H.test".into(), "k.test:81".into()],
        host_headers: vec![HeaderName::from_static("x-host")],
        ..Secure::default()
    };
    for (host, carried, served) in [
        ("h.test", None, true),
        ("h.test:8000", None, true),
        ("k.test:81", None, true),
        ("k.test", None, false),
        ("other.test", None, false),
        ("other.test", Some("h.test"), true),
        ("h.test", Some("other.test"), false),
    ] {
        let mut request = exchange("GET", host, "/");
        if let Some(carried) = carried {
            request.head.headers.insert("x-host", HeaderValue::from_static(carried));
        }
        let stopped = pass(with_secure(secure()), &mut request, &mut HeaderMap::new());
        assert_eq!(stopped.is_none(), served, "{host} {carried:?}");
        if let Some(stopped) = stopped {
            assert_eq!(answered(Some(stopped)).0, 500);
        }
    }
}

#[test]
fn plain_requests_are_redirected_and_those_of_another_host_where_it_is_forced() {
    let redirect = |temporary, host: Option<&str>, force_host| Secure {
        tls_redirect: Some(TlsRedirect { temporary, host: host.map(str::to_owned), force_host }),
        tls_headers: vec![(HeaderName::from_static("x-proto"), HeaderValue::from_static("https"))],
        ..Secure::default()
    };
    let location = |secure, request: &mut Exchange| {
        pass(with_secure(secure), request, &mut HeaderMap::new()).map(|stopped| answered(Some(stopped)))
    };
    let to = |status: u16, location: &str| Some((status, Some(location.to_owned())));
    let mut plain = exchange("POST", "h.test", "/a?b");
    assert_eq!(location(redirect(false, None, false), &mut plain), to(301, "https://h.test/a?b"));
    assert_eq!(location(redirect(true, Some("s.test"), false), &mut plain), to(307, "https://s.test/a?b"));
    plain.head.headers.insert("x-proto", HeaderValue::from_static("https"));
    assert_eq!(location(redirect(false, None, false), &mut plain), None, "a proxy says it was TLS");
    let mut tls = exchange_with_tls("GET", "h.test", "/");
    assert_eq!(location(redirect(false, Some("s.test"), false), &mut tls), None);
    assert_eq!(location(redirect(false, Some("s.test"), true), &mut tls), to(301, "https://s.test/"));
}

#[test]
fn strict_transport_is_said_over_tls_or_always() {
    for (tls, always, said) in [(true, false, true), (false, false, false), (false, true, true)] {
        let secure = Secure { hsts: value("max-age=5"), hsts_always: always, ..Secure::default() };
        let mut request = if tls { exchange_with_tls("GET", "h.test", "/") } else { exchange("GET", "h.test", "/") };
        let mut answer = HeaderMap::new();
        assert!(pass(with_secure(secure), &mut request, &mut answer).is_none());
        assert_eq!(answer.get(STRICT_TRANSPORT_SECURITY).is_some(), said, "{tls} {always}");
    }
}
