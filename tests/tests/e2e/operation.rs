//! Running and stopping the process, and what it says of itself.

use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

async fn admin_text(gateway: &Gateway, path: &str) -> String {
    let answer = Request::get("admin", path).send(gateway.admin()).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.text()
}

#[tokio::test]
async fn the_admin_api_answers_probes_and_tells_its_version() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    assert_eq!(admin_text(&gateway, "/ping").await.trim(), "OK");
    assert!(gateway.api("/api/version").await.to_string().contains(env!("CARGO_PKG_VERSION")));
    for path in ["/api/overview", "/api/entrypoints", "/api/rawdata", "/api/http/middlewares"] {
        gateway.api(path).await;
    }
    assert_eq!(Request::get("admin", "/api/nothing").send(gateway.admin()).await.status(), 404);
    // What is served to the world is not what is served to operators.
    assert_eq!(gateway.get("shop.test", "/ping").await.json()["uri"], "/ping");
}

#[tokio::test]
async fn metrics_count_requests() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    for _ in 0..3 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    until("the requests are counted", async || {
        let metrics = admin_text(&gateway, "/metrics").await;
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
        let counts = metrics.lines().filter(|line| line.starts_with("sluice_") && line.contains("requests_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).any(|count| count >= 3.0)
    })
    .await;
}

#[tokio::test]
async fn a_request_on_its_way_is_finished_before_the_process_ends() {
    let upstream = Upstream::start(Behaviour::Slow(Duration::from_millis(700))).await;
    let setup = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]);
    let mut gateway = setup.config("[shutdown]\npre-stop = \"0s\"\ndrain = \"10s\"").start().await;
    let address = gateway.web();
    let slow = tokio::spawn(async move { Request::get("shop.test", "/").send(address).await.status() });
    until("the request is with the upstream", async || !upstream.received().is_empty()).await;

    gateway.process().signal("TERM");
    assert_eq!(slow.await.unwrap(), 200);
    let process = gateway.process();
    until("the process ends", async || process.ended().is_some()).await;
    assert!(gateway.process().ended().is_some_and(|status| status.success()));
}

#[tokio::test]
async fn a_draining_gateway_is_not_ready_but_still_serves() {
    let upstream = Upstream::echo().await;
    let setup = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]);
    let mut gateway = setup.config("[shutdown]\npre-stop = \"60s\"").start().await;
    gateway.process().signal("TERM");
    until("/ready says no", async || Request::get("admin", "/ready").send(gateway.admin()).await.status() == 503).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let upstream = Upstream::start(Behaviour::Slow(Duration::from_millis(200))).await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    for _ in 0..20 {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        wire.write(Request::get("shop.test", "/").bytes()).await.unwrap();
    }
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
}
