//! What is accepted, rewritten and refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use hyper::Request;

use super::*;

fn client() -> Arc<Client> {
    Arc::new(Client::new(([127, 0, 0, 1], 40000).into(), "web".into(), 0, None, None, crate::http::Rules::default()))
}

fn take(request: hyper::http::request::Builder) -> Result<Box<Exchange>, &'static str> {
    accept(request.body(()).unwrap().into_parts().0, client()).map_err(|refusal| refusal.reason)
}

fn get(target: &str, host: &str) -> hyper::http::request::Builder {
    Request::get(target).header(HOST, host)
}

#[test]
fn hosts_are_lower_cased_and_lose_their_port() {
    for (authority, host) in [
        ("Shop.Test:8080", "shop.test"),
        ("[FD00::7]:80", "fd00::7"),
        ("a.test.", "a.test."),
        ("pay.core_2", "pay.core_2"),
    ] {
        let exchange = take(get("/", authority)).unwrap();
        assert_eq!(exchange.host, host);
        assert_eq!(exchange.authority, authority);
    }
}

#[test]
fn the_authority_of_the_target_wins() {
    let exchange = take(get("http://h.test/x", "other.test")).unwrap();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), ("h.test", "/x"));
    assert_eq!(exchange.authority, "h.test");
}

#[test]
fn hosts_no_one_can_agree_on_are_refused() {
    for host in ["", "a/b", "a?b", "u@a", "a b", "a\\b", "a:80abc", "a:99999", "[::1", "[zz]", "[::1]x", "a,b", ":80"] {
        assert_eq!(take(get("/", host)).unwrap_err(), "bad_host", "{host}");
    }
    assert_eq!(take(Request::get("/")).unwrap_err(), "missing_host");
    assert_eq!(take(get("/", "a").header(HOST, "b")).unwrap_err(), "duplicate_host");
    assert!(take(Request::get("/").version(Version::HTTP_10)).is_ok());
}

#[test]
fn semicolons_of_queries_are_settled_for_everybody() {
    let taken = |target: &str, encode: bool| {
        let rules = crate::http::Rules { encode_query_semicolons: encode, ..crate::http::Rules::default() };
        let client = Client::new(([127, 0, 0, 1], 40000).into(), "web".into(), 0, None, None, rules);
        let head = get(target, "a").body(()).unwrap().into_parts().0;
        accept(head, Arc::new(client)).unwrap().head.uri.to_string()
    };
    for (target, separated, encoded) in [
        ("/x?a=1;b=2", "/x?a=1&b=2", "/x?a=1%3Bb=2"),
        ("/x?;;", "/x?&&", "/x?%3B%3B"),
        ("/x;y?a", "/x;y?a", "/x;y?a"),
        ("/x?a=1%3Bb", "/x?a=1%3Bb", "/x?a=1%3Bb"),
        ("http://a/x?a;b", "http://a/x?a&b", "http://a/x?a%3Bb"),
        ("/?a=1;b=/../c", "/?a=1&b=/../c", "/?a=1%3Bb=/../c"),
    ] {
        assert_eq!((taken(target, false), taken(target, true)), (separated.to_owned(), encoded.to_owned()), "{target}");
    }
}

#[test]
fn framing_tricks_are_refused() {
    let coded = |value: &str| get("/", "a").header(TRANSFER_ENCODING, value);
    assert!(take(coded("chunked")).is_ok());
    assert_eq!(take(coded("chunked").header(TRANSFER_ENCODING, "chunked")).unwrap_err(), "bad_transfer_encoding");
    assert_eq!(take(coded("chunked").header(CONTENT_LENGTH, "3")).unwrap_err(), "bad_transfer_encoding");
    assert_eq!(take(coded("gzip, chunked")).unwrap_err(), "unknown_transfer_encoding");
    assert_eq!(take(coded("chunked").version(Version::HTTP_10)).unwrap_err(), "bad_transfer_encoding");
    assert_eq!(take(get("/", "a").header(EXPECT, "junk")).unwrap_err(), "bad_expectation");
}

#[test]
fn methods_that_are_not_for_proxies_are_refused() {
    assert_eq!(take(Request::builder().method("CONNECT").uri("a:80").header(HOST, "a")).unwrap_err(), "connect");
    assert_eq!(take(Request::builder().method("TRACE").uri("/").header(HOST, "a")).unwrap_err(), "trace");
    assert_eq!(take(Request::builder().method("OPTIONS").uri("*").header(HOST, "a")).unwrap_err(), "bad_path");
}

#[test]
fn long_targets_are_refused() {
    let refusal =
        accept(get(&format!("/{}", "a".repeat(9000)), "a").body(()).unwrap().into_parts().0, client()).unwrap_err();
    assert_eq!(refusal.status, StatusCode::URI_TOO_LONG);
}

#[test]
fn only_confirmed_upgrades_count() {
    let websocket = get("/", "a").header(UPGRADE, "websocket");
    assert!(take(websocket).unwrap().upgrade.is_none());
    let confirmed = get("/", "a").header(UPGRADE, "websocket").header(CONNECTION, "keep-alive, Upgrade");
    assert_eq!(take(confirmed).unwrap().upgrade.unwrap(), "websocket");
    let h2c = get("/", "a").header(UPGRADE, "h2c").header(CONNECTION, "upgrade, http2-settings");
    assert!(take(h2c).unwrap().upgrade.is_none());
}

#[test]
fn cookie_crumbs_are_joined_for_http_1() {
    let exchange = take(get("/", "a").version(Version::HTTP_2).header(COOKIE, "a=1").header(COOKIE, "b=2")).unwrap();
    let cookies: Vec<_> = exchange.head.headers.get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}
