//! `http-strictness.md` 2g: who may ask the admin API, and what it says to browsers.

use std::process::Command;

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Setup, binary};
use sluice_tests::process::Folder;
use sluice_tests::upstream::Upstream;
use sluice_tests::wire::Wire;

/// A catalog in which a stranger's text stands wherever one can write it.
fn hostile() -> Service {
    Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"])
        .tag("traefik.http.routers.shop.middlewares=ann")
        .tag("traefik.http.middlewares.ann.basicauth.users=ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=")
        .tag("traefik.http.middlewares.ann.basicauth.realm=</script><script>alert(1)</script>")
}

#[tokio::test]
async fn only_the_operator_reads_and_changes() {
    let upstream = Upstream::echo().await;
    let folder = Folder::new();
    let token = folder.join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let gateway = Setup::with_services(&[hostile().at(&upstream)]).start().await;
    let guarded = Setup::with_services(&[hostile().at(&upstream)]).with_admin_token(&token).start().await;
    let ask = async |request: Request| request.send(gateway.admin()).await;
    let status = async |request: Request| ask(request).await.status();
    let accept = || Request::new("POST", "localhost", "/api/discovery/accept");

    for host in ["evil.test", "127.0.0.1.evil.test", "sluice.evil.test:8080"] {
        assert_eq!(status(Request::get(host, "/api/overview")).await, 403, "2g: DNS rebinding by {host}");
    }
    for (header, value) in [
        ("Origin", "http://evil.test"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        assert_eq!(status(accept().header(header, value)).await, 403, "2g: a change by a page, {header}: {value}");
    }
    assert_ne!(status(accept()).await, 403);
    let force = |kind: &str| {
        let request = Request::new("POST", "localhost", "/api/policies/ann@file/force").header("Content-Type", kind);
        request.body(br#"{"state":"open"}"#)
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        assert_eq!(status(force(kind)).await, 415, "2g: {kind}");
    }
    assert_ne!(status(force("application/json; charset=utf-8")).await, 415, "2g");
    let long = Request::new("POST", "localhost", "/api/policies/x/force").header("Content-Type", "application/json");
    let refused = ask(long.body(&[b'x'; 5000])).await;
    assert_eq!(refused.status(), 413, "2g: the body is too long");
    for method in ["GET", "PUT", "DELETE"] {
        let answer = status(Request::new(method, "localhost", "/api/discovery/accept")).await;
        assert!([404, 405].contains(&answer), "2g: {method} changes nothing, {answer}");
    }

    let with = |token: &str| Request::get("localhost", "/api/overview").header("Authorization", token);
    let ask = async |request: Request| request.send(guarded.admin()).await.status();
    for wrong in ["", "Bearer", "Bearer s3cre", "Bearer s3cret1", "Basic s3cret", "bearer: s3cret"] {
        assert_eq!(ask(with(wrong)).await, 401, "2g: {wrong}");
    }
    assert_eq!(ask(with("Bearer s3cret")).await, 200, "2g");
    assert_eq!(ask(Request::get("localhost", "/ping")).await, 200, "2g: probes need no token");
}

#[tokio::test]
async fn what_strangers_write_stays_text_and_secrets_stay_secret() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[hostile().at(&upstream)]).start().await;
    let mut paths =
        vec!["/api/rawdata", "/api/http/middlewares", "/api/overview", "/api/http/routers", "/api/discovery"];
    paths.extend(["/api/nothing", "/metrics"]);
    for path in paths {
        let answer = Request::get("localhost", path).send(gateway.admin()).await;
        let head = &answer.head;
        assert_eq!((head.get("x-content-type-options"), head.get("x-frame-options")), (Some("nosniff"), Some("DENY")));
        let policy = head.get("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "2g {path}: {policy}");
        let kind = head.get("content-type").unwrap_or_default();
        assert!(!kind.starts_with("text/html"), "2g {path}: {kind}");
        assert!(!answer.text().contains("W6ph5Mm5Pz8GgiULbPgzG37mj9g"), "2g: {path} tells a password's hash");
    }
    // Nobody gets in through the door for everybody, whatever the path or the host.
    for host in ["admin", "localhost", "127.0.0.1", &gateway.admin().to_string()] {
        assert_eq!(gateway.get(host, "/api/overview").await.status(), 404, "2g: {host}");
    }
}

#[tokio::test]
async fn an_operator_gets_in_while_strangers_hold_connections() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config("[entrypoints.web.limits]\nconnections = 2").start().await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(Wire::connect(gateway.web()).await.unwrap());
    }
    assert_eq!(Request::get("localhost", "/api/overview").send(gateway.admin()).await.status(), 200, "2g");
}

#[tokio::test]
async fn beyond_this_machine_a_token_is_needed() {
    let folder = Folder::new();
    let file = folder.join("sluice.toml");
    let check = |config: &str| {
        std::fs::write(&file, format!("[entrypoints.web]\naddress = \"127.0.0.1:0\"\n{config}")).unwrap();
        Command::new(binary()).args(["check", "--config"]).arg(&file).output().unwrap()
    };
    for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
        let refused = check(&format!("[admin]\naddress = \"{address}\""));
        let text = String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && text.contains("token-file"), "2g {address}: {text}");
    }
}
