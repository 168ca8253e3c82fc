//! A hundred replacements of the router and of a policy under load: no failed request, no counter lost, no memory kept.
//! With `SWAPS` in the environment, as many of every other default plugin as well, all of which the load passes
//! (`cargo xtask bench swaps`). Versions are compiled once and come back then: what is measured is the replacing.
//!
//! In a binary of its own: it measures the gateway's memory, and other tests would share the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::plugins::{built, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

const SWAPS: u32 = 100;
const PLUGINS: [&str; 2] = ["rate-limit", "traefik-tags"];
const OTHERS: [&str; 7] =
    ["auth", "canary", "circuit-breaker", "concurrency", "degrade", "forward-auth", "ip-allow-list"];
/// How many versions of each plugin take turns where the other plugins are replaced as well.
const VERSIONS: u32 = 4;
/// A use of each, none of which refuses anything. `UPSTREAM` is one that permits everything.
const PASSED: &str = r#"
[[policies]]
name = "breaker"
plugin = "circuit-breaker"
attach = ["service:busy"]
config = { expression = "NetworkErrorRatio() > 0.9" }
[[policies]]
name = "together"
plugin = "concurrency"
attach = ["service:busy"]
config = { amount = 100000 }
[[policies]]
name = "addresses"
plugin = "ip-allow-list"
attach = ["service:busy"]
config = { source-range = ["127.0.0.0/8"] }
[[policies]]
name = "users"
plugin = "auth"
attach = ["service:busy"]
config = { kind = "basic", users = ["load:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="] }
[[policies]]
name = "permission"
plugin = "forward-auth"
attach = ["service:busy"]
config = { address = "http://UPSTREAM/permit" }
[[policies]]
name = "split"
plugin = "canary"
attach = ["service:busy"]
config = { service = "other@file", weight = 50 }
[[policies]]
name = "pages"
plugin = "degrade"
attach = ["service:busy"]
config = { status = "502-504", reply = { body = "later" } }
[plugins.settings.forward-auth]
grants = ["outbound:http://UPSTREAM"]
"#;
/// As `users` of the policy has it.
const USER: &str = "Authorization: Basic bG9hZDpwYXNzd29yZA==\r\n";
/// Swaps before memory is measured: compiling itself leaves the allocator with room it keeps.
const WARM_UP: u32 = 20;
/// Longer than workers wait before they sweep.
const SWEPT: Duration = Duration::from_secs(12);
const DRIFT: u64 = 20 * 1024 * 1024;

/// Puts another version of each in place and waits until all of them are in force.
async fn swap_all(gateway: &Gateway, number: u32, components: &[(&str, Vec<u8>)]) {
    let mut before = Vec::new();
    for (name, component) in components {
        let path = format!("/api/plugins/{name}");
        before.push((gateway.api(&path).await["digest"].clone(), path));
        gateway.plugins().put(name, &variant(component, number));
    }
    for (digest, path) in &before {
        until(&format!("variant {number} of {path} is active"), async || {
            let now = gateway.api(path).await;
            now["digest"] != *digest && now["state"] == "active"
        })
        .await;
    }
    let spent = gateway.get("spent.test", "/").await.status();
    assert_eq!(spent, 429, "the bucket after swap {number}");
}

/// Resident memory once workers have let go of the versions that are gone, which they do every few seconds.
async fn settled(gateway: &Gateway) -> u64 {
    tokio::time::sleep(SWEPT).await;
    gateway.resident_bytes()
}

#[tokio::test]
async fn swaps_under_load_cost_nothing() {
    let upstream = Upstream::echo().await;
    let limit = |service: Service, average: &str, burst: &str| {
        service
            .tag("traefik.frontend.rateLimit.extractorFunc=client.ip")
            .tag("traefik.frontend.rateLimit.rateSet.a.period=1h")
            .tag(&format!("traefik.frontend.rateLimit.rateSet.a.average={average}"))
            .tag(&format!("traefik.frontend.rateLimit.rateSet.a.burst={burst}"))
            .at(&upstream)
    };
    let spent = limit(Service::on_host("spent", "spent.test"), "1", "2");
    // The load passes the same plugin, with a limit it does not reach.
    let busy = limit(Service::on_host("busy", "busy.test"), "1000000000", "1000000000");
    let other = Service::on_host("other", "other.test").at(&upstream);
    let setup = Setup::with_services(&[spent, busy, other]).with_plugin_directory();
    let wished: Option<u32> = std::env::var("SWAPS").ok().map(|number| number.parse().expect("a number in SWAPS"));
    let swaps = wished.unwrap_or(SWAPS);
    let gateway = match wished {
        None => setup.without_compiled_plugins().start().await,
        Some(_) => setup.config(&PASSED.replace("UPSTREAM", &upstream.address().to_string())).start().await,
    };
    let others = OTHERS.iter().filter(|_| wished.is_some());
    let components: Vec<_> = PLUGINS.iter().chain(others).map(|name| (*name, built(name))).collect();
    for status in [200, 200, 429] {
        assert_eq!(gateway.get("spent.test", "/").await.status(), status);
    }

    let load = Load::with_headers(gateway.web(), "busy.test", "/", 8, USER);
    let versions = wished.map_or(swaps, |_| VERSIONS);
    let mut resident = 0;
    for number in 0..swaps {
        if number == WARM_UP {
            resident = settled(&gateway).await;
        }
        swap_all(&gateway, number % versions, &components).await;
    }
    let after = settled(&gateway).await;
    let report = load.stop().await;

    let mib = |bytes: u64| bytes / (1024 * 1024);
    eprintln!(
        "{swaps} swaps of each of {} plugins during {} requests; {} MiB after {WARM_UP}, {} MiB at the end; p99 {:?}",
        components.len(),
        report.requests(),
        mib(resident),
        mib(after),
        report.quantile(99)
    );
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
    assert!(report.requests() > 1000, "{} requests are no load", report.requests());
    assert!(after.saturating_sub(resident) <= DRIFT, "{} MiB became {} MiB", mib(resident), mib(after));
}
