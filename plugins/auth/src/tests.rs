//! The policy as the gateway sees it, against the SDK's host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sluice_plugin_sdk::mock::{Host, Use};
use sluice_plugin_sdk::policy::{Field, Reply, Verdict};

use super::Auth;

const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn refused(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Respond(reply) => reply,
        other => panic!("not refused: {other:?}"),
    }
}

fn authorize(host: &Host, value: &str) {
    host.set_request(Field::Header("Authorization".into()), value);
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

#[test]
fn basic_answers_as_traefik_does() {
    let host = Host::new();
    let mut policy: Use<Auth> = host.configure(&format!(r#"{{"kind": "basic", "users": "ann:{SHA}"}}"#)).unwrap();
    let reply = refused(policy.request());
    assert_eq!((reply.status, reply.body.as_slice()), (401, &b"401 Unauthorized\n"[..]));
    assert_eq!(header(&reply, "WWW-Authenticate"), Some(r#"Basic realm="traefik""#));
    authorize(&host, &basic("ann:wrong"));
    assert_eq!(refused(policy.request()).status, 401);
    authorize(&host, &basic("ann:password"));
    assert_eq!(policy.request(), Verdict::next());
    assert!(host.request(&Field::Header("Authorization".into())).is_some());
    assert_eq!(host.annotations(), [("user".to_owned(), "ann".to_owned())]);
}

#[test]
fn the_name_is_passed_on_and_the_password_is_not() {
    let host = Host::new();
    let settings = format!(
        r#"{{"kind": "basic", "users": ["ann:{SHA}"], "realm": "shop", "removeheader": "true", "headerfield": "X-User"}}"#
    );
    let mut policy: Use<Auth> = host.configure(&settings).unwrap();
    assert_eq!(header(&refused(policy.request()), "WWW-Authenticate"), Some(r#"Basic realm="shop""#));
    authorize(&host, &basic("ann:password"));
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(host.request(&Field::Header("X-User".into())).as_deref(), Some("ann"));
    assert_eq!(host.request(&Field::Header("Authorization".into())), None);
}

#[test]
fn users_come_from_a_file_as_well() {
    let host = Host::new();
    let settings = format!(r#"{{"kind": "basic", "users-file": {{"text": "bob:{SHA}\n"}}}}"#);
    let mut policy: Use<Auth> = host.configure(&settings).unwrap();
    authorize(&host, &basic("bob:password"));
    assert_eq!(policy.request(), Verdict::next());
}

/// What a client answers to a challenge.
fn digest(challenge: &str, password: &str, count: u32) -> String {
    let nonce = challenge.split_once(r#"nonce=""#).unwrap().1.split('"').next().unwrap();
    let hex = |text: String| Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secret = hex(format!("ann:traefik:{password}"));
    let request = hex("GET:/a?b=1".to_owned());
    let response = hex(format!("{secret}:{nonce}:{count:08x}:c:auth:{request}"));
    format!(
        r#"Digest username="ann", realm="traefik", nonce="{nonce}", uri="/a?b=1", qop=auth, nc={count:08x}, cnonce="c", response="{response}""#
    )
}

#[test]
fn a_digest_is_good_once() {
    let host = Host::new();
    host.set_request(Field::Method, "GET");
    host.set_request(Field::Path, "/a");
    host.set_request(Field::Query, "b=1");
    // MD5 of `ann:traefik:password`.
    let users = "ann:traefik:8e7d5b2f6d5ae5f7a1d5a8b5ed9b3a8a";
    let secret: String = Md5::digest("ann:traefik:password").iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = format!(r#"{{"kind": "digest", "users": "{users},ann:traefik:{secret}"}}"#);
    let mut policy: Use<Auth> = host.configure(&settings).unwrap();
    let challenge = |reply: &Reply| header(reply, "WWW-Authenticate").unwrap().to_owned();
    let first = challenge(&refused(policy.request()));
    assert!(first.starts_with(r#"Digest realm="traefik", nonce=""#) && !first.contains("stale"), "{first}");

    for (count, passes) in [(1, true), (1, false), (3, true), (2, false), (4, true)] {
        authorize(&host, &digest(&first, "password", count));
        assert_eq!(policy.request() == Verdict::next(), passes, "{count}");
    }
    authorize(&host, &digest(&first, "wrong", 9));
    assert!(!challenge(&refused(policy.request())).contains("stale"));
    host.advance(Duration::from_secs(301));
    authorize(&host, &digest(&first, "password", 9));
    let second = challenge(&refused(policy.request()));
    assert!(second.ends_with("stale=true"), "{second}");
    authorize(&host, &digest(&second, "password", 1));
    assert_eq!(policy.request(), Verdict::next());
    assert_eq!(refused(Host::new().configure::<Auth>(&settings).unwrap().request()).status, 401);
}

#[test]
fn mistakes_are_named() {
    for (settings, expected) in [
        ("{}", "missing field `kind`"),
        (r#"{"kind": "ldap"}"#, "unknown variant `ldap`"),
        (r#"{"kind": "basic"}"#, "there is no user"),
        (r#"{"kind": "basic", "users": "ann"}"#, "user `ann` is not of the form `name:hash`"),
        (r#"{"kind": "basic", "users": "ann:x:y"}"#, "user `ann` is not of the form `name:hash`"),
        (r#"{"kind": "digest", "users": "ann:{SHA}x"}"#, "user `ann` is not of the form `name:realm:HA1`"),
        (r#"{"kind": "basic", "users": "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "realm": "\""}"#, "must not have quotes"),
    ] {
        let Err(error) = Host::new().configure::<Auth>(settings) else { panic!("{settings} was accepted") };
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn the_committed_schema_is_of_these_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    sluice_policy_kit::schema::assert_committed::<super::settings::RawSettings>(path, include_str!("schema.json"));
}
