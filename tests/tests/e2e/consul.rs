//! Discovery through a real Consul agent. Times are printed as measured; what is insisted on leaves room for a busy
//! machine.

use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::consul::Consul;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::upstream::Upstream;

/// The target is 100 ms.
const BOUND: Duration = Duration::from_secs(2);

fn measured(what: &str, took: Duration) {
    eprintln!("{what}: {:.1} ms (target 100 ms)", took.as_secs_f64() * 1000.0);
    assert!(took < BOUND, "{what} took {took:?}");
}

fn service(name: &str) -> Service {
    Service::on_host(name, &format!("{name}.test")).tag("traefik.enable=true")
}

async fn start(consul: &Consul) -> Gateway {
    Setup::with_consul(consul.address()).start().await
}

#[tokio::test]
async fn registering_and_deregistering_is_followed() {
    let Some(consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    let gateway = start(&consul).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 404);

    for round in 0..3 {
        consul.register(&service("shop").at(&upstream)).await;
        measured(&format!("register, round {round}"), gateway.until_status("shop.test", 200).await);
        consul.deregister("shop-1").await;
        measured(&format!("deregister, round {round}"), gateway.until_status("shop.test", 404).await);
    }
}

#[tokio::test]
async fn a_service_without_its_enable_tag_is_not_exposed() {
    let Some(consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    let gateway = start(&consul).await;
    consul.register(&Service::on_host("hidden", "hidden.test").at(&upstream)).await;
    consul.register(&service("shop").at(&upstream)).await;
    gateway.until_status("shop.test", 200).await;
    assert_eq!(gateway.get("hidden.test", "/").await.status(), 404);
}

#[tokio::test]
async fn a_failing_instance_gets_no_requests_until_it_recovers() {
    let Some(consul) = Consul::start().await else { return };
    let (good, bad) = (Upstream::echo().await, Upstream::echo().await);
    consul.register(&service("shop").at(&good).at(&bad)).await;
    let gateway = start(&consul).await;
    gateway.until_status("shop.test", 200).await;

    let reaches_bad = async || {
        let before = bad.received().len();
        for _ in 0..2 {
            assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
        }
        bad.received().len() > before
    };
    sluice_tests::until("both instances answer", reaches_bad).await;
    consul.set_check("shop-2", "critical").await;
    let took = sluice_tests::until("the critical instance is left out", async || !reaches_bad().await).await;
    measured("critical", took);
    consul.set_check("shop-2", "passing").await;
    measured("passing again", sluice_tests::until("it is back", reaches_bad).await);
}

#[tokio::test]
async fn a_service_that_registers_fills_no_bucket_of_another() {
    let Some(consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    let limited = service("shop")
        .tag("traefik.frontend.rateLimit.extractorFunc=client.ip")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.period=1h")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.average=1")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.burst=2");
    consul.register(&limited.at(&upstream)).await;
    let gateway = start(&consul).await;
    gateway.until_status("shop.test", 429).await;
    consul.register(&service("new").at(&upstream)).await;
    gateway.until_status("new.test", 200).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
    consul.deregister("new-1").await;
    gateway.until_status("new.test", 404).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
}

#[tokio::test]
async fn the_death_of_consul_changes_nothing_for_clients() {
    let Some(mut consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    consul.register(&service("shop").at(&upstream)).await;
    let gateway = start(&consul).await;
    gateway.until_status("shop.test", 200).await;

    let load = Load::start(gateway.web(), "shop.test", "/", 4);
    consul.kill();
    let discovery = async || gateway.api("/api/discovery").await["consulcatalog"].clone();
    sluice_tests::until("the loss is reported", async || discovery().await["reachable"] == false).await;
    assert!(discovery().await["lastError"].is_string(), "{}", discovery().await);
    tokio::time::sleep(Duration::from_secs(2)).await; // several attempts to reach it again
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
    assert!(report.requests() > 100);
    let ready = sluice_tests::client::Request::get("admin", "/ready").send(gateway.admin()).await;
    assert_eq!(ready.status(), 200);
}
