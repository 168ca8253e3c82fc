//! Plugins that misbehave: what it costs is the request that met it, and the reason can be read.

use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::plugins::{guest, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

/// What a request gets that makes the guest misbehave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// 503, for a failure of this kind.
    Failed(&'static str),
    /// 503, for an answer that is no HTTP.
    Refused,
    /// The upstream's answer: the host takes what it takes and drops the rest.
    Served,
}

/// Every mode of the guest `hostile`.
const MODES: [(&str, Fate); 13] = [
    ("loop", Fate::Failed("timeout")),
    ("fill", Fate::Failed("timeout")),
    ("memory", Fate::Failed("oom")),
    ("recursion", Fate::Failed("stack")),
    ("trap", Fate::Failed("trap")),
    ("headers", Fate::Refused),
    ("line-break", Fate::Refused),
    ("framing", Fate::Refused),
    ("status", Fate::Failed("contract")),
    ("huge-string", Fate::Failed("contract")),
    ("request-headers", Fate::Served),
    ("log-flood", Fate::Served),
    ("kv-flood", Fate::Served),
];

async fn start(upstream: &Upstream) -> Gateway {
    let service = |name: &str| {
        Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]).at(upstream)
    };
    let services: Vec<_> = MODES.iter().map(|(mode, _)| service(mode)).chain([service("calm")]).collect();
    let mut setup = Setup::with_services(&services).with_plugin_directory().with_plugin("hostile", &guest("hostile"));
    for (mode, _) in MODES {
        setup = setup.config(&format!(
            "[[policies]]\nname = \"{mode}\"\nplugin = \"hostile\"\nattach = [\"service:{mode}\"]\nconfig = {{ mode = \"{mode}\" }}"
        ));
    }
    // What takes long on a busy machine is not to be taken for a loop.
    setup.config("[plugins.settings.hostile]\ndeadline = \"200ms\"").start().await
}

async fn failures(gateway: &Gateway, kind: &str) -> u64 {
    let text = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    let counts = text.lines().filter(|line| line.starts_with("sluice_plugin_calls_total{plugin=\"hostile\""));
    let of_kind = counts.filter(|line| line.contains(&format!("outcome=\"{kind}\"")));
    of_kind.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn each_costs_the_request_that_met_it_and_nothing_else() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let before = gateway.resident_bytes();
    for (mode, fate) in MODES {
        let host = format!("{mode}.test");
        let (boom, begun) = (Request::get(&host, "/").header("x-boom", "yes"), Instant::now());
        let counted = match fate {
            Fate::Failed(kind) => failures(&gateway, kind).await,
            _ => 0,
        };
        let answer = gateway.send(boom).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{mode} took {:?}", begun.elapsed());
        let expected = if fate == Fate::Served { 200 } else { 503 };
        assert_eq!(answer.status(), expected, "{mode}: {}", answer.text());
        assert!(answer.head.get("set-cookie").is_none() && answer.head.get("x-taken").is_none(), "{mode}");
        if let Fate::Failed(kind) = fate {
            assert_eq!(failures(&gateway, kind).await, counted + 1, "{mode} is counted as {kind}");
        }
        assert_eq!(gateway.get(&host, "/").await.status(), 200, "the next request after {mode}");
        assert_eq!(gateway.get("calm.test", "/").await.status(), 200, "a neighbour of {mode}");
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than before");
    let kept = gateway.api("/api/policies/kv-flood").await["kvBytes"].as_u64().expect("a number");
    assert!(kept <= 1 << 20, "{kept} bytes kept");
}

#[tokio::test]
async fn neighbours_are_served_while_loops_are_stopped() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let web = gateway.web();
    let looping = tokio::spawn(async move {
        for _ in 0..10 {
            assert_eq!(Request::get("loop.test", "/").header("x-boom", "yes").send(web).await.status(), 503);
        }
    });
    let mut calm = 0;
    while !looping.is_finished() {
        assert_eq!(gateway.get("calm.test", "/").await.status(), 200);
        calm += 1;
    }
    looping.await.expect("every loop is stopped");
    assert!(calm >= 5, "{calm} requests of a neighbour");
}

#[tokio::test]
async fn files_that_are_no_plugins_leave_the_old_version_in_force() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let whole = guest("hostile");
    let plugin = async || gateway.api("/api/plugins/hostile").await;
    let digest = plugin().await["digest"].clone();
    let mut refusals = Vec::new();
    let wrong = [whole[..whole.len() / 2].to_vec(), b"#!/bin/sh".to_vec(), vec![0; 17 << 20]];
    for (number, bytes) in wrong.iter().enumerate() {
        gateway.plugins().put("hostile", bytes);
        let last = refusals.last().cloned().unwrap_or(Value::Null);
        until(&format!("wrong file {number} is refused"), async || plugin().await["lastError"] != last).await;
        let now = plugin().await;
        assert_eq!(now["digest"], digest, "{now}");
        refusals.push(now["lastError"].clone());
        assert_eq!(gateway.get("loop.test", "/").await.status(), 200);
    }
    eprintln!("{refusals:#?}");
    gateway.plugins().put("hostile", &variant(&whole, 1));
    until("a good version is taken", async || plugin().await["digest"] != digest).await;
}

#[tokio::test]
async fn a_file_everybody_may_write_to_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let plugin = async || gateway.api("/api/plugins/hostile").await;
    let digest = plugin().await["digest"].clone();
    let (open, place) = (gateway.plugins().path().join(".open"), gateway.plugins().path().join("hostile.wasm"));
    std::fs::write(&open, variant(&guest("hostile"), 7)).expect("write a plugin");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).expect("open it to everybody");
    std::fs::rename(&open, &place).expect("put it in place");
    until("it is refused", async || plugin().await["lastError"].is_string()).await;
    let now = plugin().await;
    assert!(now["lastError"].as_str().is_some_and(|error| error.starts_with("every user may write to")), "{now}");
    assert_eq!(now["digest"], digest);
}

#[tokio::test]
async fn a_version_that_keeps_failing_makes_way_for_the_one_before_it() {
    let upstream = Upstream::echo().await;
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"]).at(&upstream);
    let gateway = Setup::with_services(&[service])
        .with_plugin_directory()
        .with_plugin("scripted", &guest("scripted"))
        .config(
            "[[policies]]\nname = \"shop\"\nplugin = \"scripted\"\nattach = [\"service:shop\"]\n\
             config = { trap = \"x-boom\" }",
        )
        .start()
        .await;
    let plugin = async || gateway.api("/api/plugins/scripted").await;
    let first = plugin().await["digest"].clone();
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 1));
    until("the new version is in force", async || plugin().await["digest"] != first).await;
    until("it is put away", async || {
        for _ in 0..20 {
            gateway.send(Request::get("shop.test", "/").header("x-boom", "yes")).await;
        }
        plugin().await["state"] == "quarantined"
    })
    .await;
    until("the first one is back", async || plugin().await["digest"] == first).await;
    let now = plugin().await;
    assert!(now["lastError"].as_str().is_some_and(|error| error.starts_with("quarantined: ")), "{now}");
    assert!(now["traps"].as_u64().is_some_and(|traps| traps >= 20), "{now}");
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 2));
    until("another file is tried", async || plugin().await["state"] == "active").await;
}
