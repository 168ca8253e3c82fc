//! The harness itself, without a gateway: a harness that sees nothing wrong proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::consul::Consul;
use sluice_tests::load::Load;
use sluice_tests::plugins::variant;
use sluice_tests::process::repository;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

#[tokio::test]
async fn an_upstream_tells_and_records_what_it_received() {
    let upstream = Upstream::echo().await;
    let mut wire = Wire::connect(upstream.address()).await.unwrap();
    let request = Request::new("PUT", "a.test", "/x?y").header("X-Twice", "1").header("X-Twice", "2").body(b"body");
    let seen = request.send_on(&mut wire).await.unwrap().json();
    assert_eq!((&seen["method"], &seen["uri"], &seen["host"]), (&"PUT".into(), &"/x?y".into(), &"a.test".into()));
    assert_eq!((&seen["body"], &seen["headers"]["x-twice"]), (&"body".into(), &serde_json::json!(["1", "2"])));

    wire.write("POST / HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    wire.write_chunk(b"one").await.unwrap();
    wire.write_chunk(b"two").await.unwrap();
    wire.write_chunk(b"").await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert!(!wire.read_answer_body(&head).await.unwrap().is_empty());
    assert_eq!(upstream.received()[1].body, b"onetwo");
    assert_eq!((upstream.received().len(), upstream.connections()), (2, 1));
}

#[tokio::test]
async fn a_stopped_upstream_is_gone() {
    let upstream = Upstream::echo().await;
    let address = upstream.address();
    let mut wire = Wire::connect(address).await.unwrap();
    assert_eq!(Request::get("a.test", "/").send_on(&mut wire).await.unwrap().status(), 200);
    drop(upstream);
    sluice_tests::until("nobody listens", async || Wire::connect(address).await.is_err()).await;
    assert!(Request::get("a.test", "/").send_on(&mut wire).await.is_err());
}

#[tokio::test]
async fn the_load_counts_what_fails() {
    for (behaviour, refused, broken) in
        [(Behaviour::Echo, false, false), (Behaviour::Status(503), true, false), (Behaviour::Close, false, true)]
    {
        let upstream = Upstream::start(behaviour).await;
        let load = Load::start(upstream.address(), "a.test", "/", 3);
        sluice_tests::until("requests arrived", async || upstream.received().len() > 20).await;
        let report = load.stop().await;
        assert_eq!((report.refused > 0, report.broken > 0), (refused, broken), "{report:?}");
        assert_eq!(report.requests() > 0, !refused && !broken);
        assert!(report.quantile(50) < Duration::from_secs(1));
    }
}

#[test]
fn variants_differ_in_their_bytes_alone() {
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let (one, two) = (variant(&component, 1), variant(&component, 2));
    assert_ne!(one, two);
    assert!(one.starts_with(&component));
    // One section: its id, its length, and that many bytes.
    assert_eq!((one[8], usize::from(one[9])), (0, one.len() - 10));
}

#[tokio::test]
async fn a_real_agent_takes_registrations_and_checks() {
    let Some(mut consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    let path = "/v1/health/service/shop?passing";
    let passing = async || Request::get("consul", path).send(consul.address()).await.json().as_array().unwrap().len();
    consul.register(&Service::on_host("shop", "shop.test").at(&upstream).at(&upstream)).await;
    assert_eq!(passing().await, 2);
    consul.set_check("shop-2", "critical").await;
    assert_eq!(passing().await, 1);
    consul.deregister("shop-1").await;
    assert_eq!(passing().await, 0);
    let address = consul.address();
    consul.kill();
    assert!(Wire::connect(address).await.is_err());
}

/// The rows of `http-strictness.md`: a letter or `2-`, and the last number.
const ROWS: [(&str, u32); 6] = [("F", 28), ("H", 17), ("I", 10), ("2-", 19), ("R", 16), ("U", 15)];

#[test]
fn every_row_of_the_strictness_tables_is_named_by_a_test() {
    let text = read_all(&repository().join("tests/tests/e2e"));
    let is_named = |row: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        text.match_indices(row).any(|(at, _)| {
            let after = text.as_bytes()[at + row.len()];
            // Cases of one row are told apart by a letter: `F13b`.
            !is_part(text.as_bytes()[at - 1]) && !after.is_ascii_digit()
        })
    };
    let rows = ROWS.iter().flat_map(|(kind, last)| (1..=*last).map(move |number| format!("{kind}{number}")));
    let missing: Vec<_> = rows.chain(["2g".to_owned()]).filter(|row| !is_named(row)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// Where clients are refused, and what stands before the word by which a refusal is counted.
const REFUSING: [&str; 3] = ["gateway/src/http", "gateway/src/listener", "gateway/src/proxy/trace.rs"];
const BEFORE_A_REASON: [&str; 8] =
    ["bad(\"", "refuse(\"", "reason: \"", "rejected(\"", "count(\"", "failed(\"", "=> Some(\"", "=> \"tls-"];

#[test]
fn every_reason_to_refuse_a_client_is_counted_in_a_test() {
    let tests = read_all(&repository().join("tests/tests/e2e"));
    let code: String = REFUSING.iter().map(|path| read_all(&repository().join(path))).collect();
    let mut reasons: Vec<String> = Vec::new();
    for before in BEFORE_A_REASON {
        let prefix = before.split_once('"').unwrap().1;
        let found = code.match_indices(before).filter_map(|(at, _)| code[at + before.len()..].split('"').next());
        reasons.extend(found.map(|word| format!("{prefix}{word}")));
    }
    reasons.sort_unstable();
    reasons.dedup();
    assert!(reasons.len() > 40, "{reasons:?}");
    let is_counted = |reason: &String| {
        [format!("\"{reason}\""), format!("\\\"{reason}\\\"")].iter().any(|word| tests.contains(word))
    };
    let missing: Vec<_> = reasons.iter().filter(|reason| !is_counted(reason)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// The text of a file, or of all files in a folder, without unit tests.
fn read_all(path: &std::path::Path) -> String {
    if path.is_file() {
        let text = std::fs::read_to_string(path).unwrap();
        return text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.to_string_lossy().ends_with("tests.rs")).map(|path| read_all(&path)).collect()
}
