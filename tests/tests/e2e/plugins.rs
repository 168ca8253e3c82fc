//! Plugins as files in a directory: put there, replaced, broken, taken away, all while requests flow.

use std::time::Duration;

use serde_json::Value;
use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::plugins::{built, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

/// What the contract promises for a change in the directory.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

fn limited(upstream: &Upstream) -> Service {
    Service::on_host("shop", "shop.test")
        .tag("traefik.frontend.rateLimit.extractorFunc=client.ip")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.period=1h")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.average=1")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.burst=3")
        .at(upstream)
}

async fn plugin(gateway: &Gateway, name: &str) -> Value {
    gateway.api(&format!("/api/plugins/{name}")).await
}

/// Puts a variant of a default plugin into the directory and waits until the gateway runs it.
async fn swap(gateway: &Gateway, name: &str, number: u32) -> Duration {
    let before = plugin(gateway, name).await["digest"].clone();
    gateway.plugins().put(name, &variant(&built(name), number));
    let took = until(&format!("variant {number} of {name} is active"), async || {
        let now = plugin(gateway, name).await;
        now["digest"] != before && now["state"] == "active"
    })
    .await;
    eprintln!("{name} swapped in {took:?} (promised: {LIVE_WITHIN:?})");
    took
}

#[tokio::test]
async fn default_plugins_are_there_without_a_file() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[limited(&upstream)]).start().await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    for name in ["rate-limit", "traefik-tags"] {
        let plugin = plugin(&gateway, name).await;
        assert_eq!(plugin["name"], name);
        assert_eq!((&plugin["source"], &plugin["state"]), (&"builtin".into(), &"active".into()), "{plugin}");
    }
}

#[tokio::test]
async fn a_replaced_policy_plugin_finds_its_buckets_as_they_were() {
    let upstream = Upstream::echo().await;
    let free = Service::on_host("free", "free.test").at(&upstream);
    let gateway = Setup::with_services(&[limited(&upstream), free])
        .with_plugin_directory()
        .without_compiled_plugins()
        .start()
        .await;
    for status in [200, 200, 200, 429] {
        assert_eq!(gateway.get("shop.test", "/").await.status(), status);
    }

    let load = Load::start(gateway.web(), "free.test", "/", 4);
    for number in 0..3 {
        swap(&gateway, "rate-limit", number).await;
        assert_eq!(gateway.get("shop.test", "/").await.status(), 429, "after swap {number}");
    }
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
    assert!(report.requests() > 0);
}

#[tokio::test]
async fn a_replaced_router_plugin_keeps_every_route() {
    let upstream = Upstream::echo().await;
    let free = Service::on_host("free", "free.test").at(&upstream);
    let gateway = Setup::with_services(std::slice::from_ref(&free))
        .with_plugin_directory()
        .without_compiled_plugins()
        .start()
        .await;
    let load = Load::start(gateway.web(), "free.test", "/", 4);
    for number in 0..3 {
        swap(&gateway, "traefik-tags", number).await;
    }
    // The new router is the one that answers for services that come after it.
    gateway.catalog().replace(&[free, Service::on_host("new", "new.test").at(&upstream)]);
    gateway.until_status("new.test", 200).await;
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
    assert!(report.requests() > 0);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_listed() {
    let upstream = Upstream::echo().await;
    let gateway =
        Setup::with_services(&[limited(&upstream)]).with_plugin_directory().without_compiled_plugins().start().await;
    let before = plugin(&gateway, "rate-limit").await;
    let good = built("rate-limit");
    for (case, bytes) in [("empty", &b""[..]), ("text", b"not wasm"), ("half", &good[..good.len() / 2])] {
        gateway.plugins().put("rate-limit", bytes);
        until(&format!("the {case} file is reported"), async || {
            let now = plugin(&gateway, "rate-limit").await;
            now["digest"] == before["digest"] && now["state"] == "active" && now["lastError"].is_string()
        })
        .await;
    }
    for status in [200, 200, 200, 429] {
        assert_eq!(gateway.get("shop.test", "/").await.status(), status);
    }
    swap(&gateway, "rate-limit", 1).await;
    assert_eq!(plugin(&gateway, "rate-limit").await["lastError"], Value::Null);
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
}

#[tokio::test]
async fn a_file_that_is_no_plugin_of_ours_is_listed_with_its_reason() {
    let upstream = Upstream::echo().await;
    let free = Service::on_host("free", "free.test").at(&upstream);
    let gateway = Setup::with_services(&[free]).with_plugin_directory().without_compiled_plugins().start().await;
    // An empty component: valid WebAssembly that exports neither world.
    gateway.plugins().put("stranger", b"\0asm\x0d\0\x01\0");
    until("the stranger is reported", async || {
        let plugins = gateway.api("/api/plugins").await;
        let stranger = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "stranger").cloned();
        stranger.is_some_and(|plugin| plugin["state"] == "failed" && plugin["lastError"].is_string())
    })
    .await;
    assert_eq!(gateway.get("free.test", "/").await.status(), 200);
}

#[tokio::test]
async fn taking_the_file_away_falls_back_to_the_built_in_plugin() {
    let upstream = Upstream::echo().await;
    let gateway =
        Setup::with_services(&[limited(&upstream)]).with_plugin_directory().without_compiled_plugins().start().await;
    let builtin = plugin(&gateway, "rate-limit").await;
    for status in [200, 200, 200, 429] {
        assert_eq!(gateway.get("shop.test", "/").await.status(), status);
    }
    swap(&gateway, "rate-limit", 7).await;
    assert_ne!(plugin(&gateway, "rate-limit").await["source"], "builtin");

    gateway.plugins().remove("rate-limit");
    until("the built-in plugin is back", async || plugin(&gateway, "rate-limit").await["source"] == "builtin").await;
    assert_eq!(plugin(&gateway, "rate-limit").await["digest"], builtin["digest"]);
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
}
