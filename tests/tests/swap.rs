//! A hundred replacements of the router and of a policy under load: no failed request, no counter lost, no memory kept.
//! With `SWAPS` in the environment, as many of three more policies as well (`cargo xtask bench swaps`).
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

use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::plugins::{built, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

const SWAPS: u32 = 100;
const PLUGINS: [&str; 2] = ["rate-limit", "traefik-tags"];
const OTHERS: [&str; 3] = ["circuit-breaker", "concurrency", "ip-allow-list"];
/// Policies of other plugins the load passes, none of which refuses anything.
const PASSED: &str = r#"
[[policies]]
name = "breaker"
plugin = "circuit-breaker"
attach = ["entrypoint:web"]
config = { expression = "NetworkErrorRatio() > 0.9" }
[[policies]]
name = "together"
plugin = "concurrency"
attach = ["entrypoint:web"]
config = { amount = 100000 }
[[policies]]
name = "addresses"
plugin = "ip-allow-list"
attach = ["entrypoint:web"]
config = { source-range = ["127.0.0.0/8"] }
"#;
/// Swaps before memory is measured: compiling itself leaves the allocator with room it keeps.
const WARM_UP: u32 = 20;
const DRIFT: u64 = 20 * 1024 * 1024;

async fn swap_all(gateway: &Gateway, number: u32, components: &[(&str, Vec<u8>)]) {
    for (name, component) in components {
        let path = format!("/api/plugins/{name}");
        let before = gateway.api(&path).await["digest"].clone();
        gateway.plugins().put(name, &variant(component, number));
        until(&format!("variant {number} of {name} is active"), async || {
            let now = gateway.api(&path).await;
            now["digest"] != before && now["state"] == "active"
        })
        .await;
        let spent = gateway.get("spent.test", "/").await.status();
        assert_eq!(spent, 429, "the bucket after swap {number} of {name}");
    }
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
    let setup = Setup::with_services(&[spent, busy]).with_plugin_directory().without_compiled_plugins();
    let wished: Option<u32> = std::env::var("SWAPS").ok().map(|number| number.parse().expect("a number in SWAPS"));
    let swaps = wished.unwrap_or(SWAPS);
    let gateway = setup.config(wished.map_or("", |_| PASSED)).start().await;
    let others = OTHERS.iter().filter(|_| wished.is_some());
    let components: Vec<_> = PLUGINS.iter().chain(others).map(|name| (*name, built(name))).collect();
    for status in [200, 200, 429] {
        assert_eq!(gateway.get("spent.test", "/").await.status(), status);
    }

    let load = Load::start(gateway.web(), "busy.test", "/", 8);
    let mut resident = 0;
    for number in 0..swaps {
        if number == WARM_UP {
            resident = gateway.resident_bytes();
        }
        swap_all(&gateway, number, &components).await;
    }
    let after = gateway.resident_bytes();
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
