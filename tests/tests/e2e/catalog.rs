//! Changes and mistakes in the file provider's catalog.

use std::time::Duration;

use sluice_tests::catalog::{Service, toml};
use sluice_tests::gateway::Setup;
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

#[tokio::test]
async fn services_come_and_go_while_the_gateway_runs() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let first = Service::on_host("one", "one.test").at(&one);
    let second = Service::on_host("two", "two.test").at(&two);
    let gateway = Setup::with_services(std::slice::from_ref(&first)).start().await;
    assert_eq!(gateway.get("two.test", "/").await.status(), 404);

    gateway.catalog().replace(&[first.clone(), second.clone()]);
    gateway.until_status("two.test", 200).await;
    assert_eq!(gateway.get("one.test", "/").await.status(), 200);

    gateway.catalog().replace(std::slice::from_ref(&second));
    gateway.until_status("one.test", 404).await;
    assert_eq!(gateway.get("two.test", "/").await.status(), 200);
}

#[tokio::test]
async fn a_file_that_is_written_over_in_place_is_noticed() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let first = Service::on_host("one", "one.test").at(&one);
    let gateway = Setup::with_services(std::slice::from_ref(&first)).start().await;

    gateway.catalog().write_in_place(&[first, Service::on_host("two", "two.test").at(&two)]);
    gateway.until_status("two.test", 200).await;
    assert_eq!(gateway.get("one.test", "/").await.status(), 200);
}

#[tokio::test]
async fn other_instances_of_a_service_take_over_at_once() {
    let (old, new) = (Upstream::echo().await, Upstream::echo().await);
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&old)]).start().await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);

    gateway.catalog().replace(&[Service::on_host("shop", "shop.test").at(&new)]);
    until("the new instance answers", async || {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
        !new.received().is_empty()
    })
    .await;
    let before = old.received().len();
    for _ in 0..10 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    assert_eq!(old.received().len(), before);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_reported() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).start().await;
    let generation = gateway.api("/api/generation").await["id"].clone();

    gateway.catalog().replace_text("[[services]]\nname = \"other\"\ninstances = []\n");
    until("the provider reports the unknown key", async || {
        gateway.api("/api/discovery").await["file"]["lastError"].to_string().contains("services")
    })
    .await;
    let state = gateway.api("/api/generation").await;
    assert_eq!(state["id"], generation, "{state}");
    assert!(state["lastRefused"]["reason"].to_string().contains("services"), "{state}");
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);

    gateway.catalog().replace(&[Service::on_host("shop", "mended.test").at(&upstream)]);
    gateway.until_status("mended.test", 200).await;
}

#[tokio::test]
async fn a_broken_service_is_left_out_alone_and_reported() {
    let upstream = Upstream::echo().await;
    let shop = Service::on_host("shop", "shop.test").at(&upstream);
    let gateway = Setup::with_services(std::slice::from_ref(&shop)).start().await;

    let new = Service::on_host("new", "new.test").at(&upstream);
    let text = toml(&[shop, new]) + "[[service]]\nname = \"other\"\nintsances = []\n";
    gateway.catalog().replace_text(&text);
    gateway.until_status("new.test", 200).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    let discovery = gateway.api("/api/discovery").await["file"].to_string();
    assert!(discovery.contains("other") && discovery.contains("intsances"), "{discovery}");
}

#[tokio::test]
async fn an_emptied_file_is_no_reason_to_drop_the_routes_half_way_through_a_write() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).start().await;

    // An editor truncates first and writes afterwards: a table cut in half is no catalog.
    let text = toml(&services);
    gateway.catalog().replace_text(&text[..text.len() / 2]);
    until("the half file is reported", async || gateway.api("/api/discovery").await["file"]["lastError"].is_string())
        .await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
}

#[tokio::test]
async fn a_bad_tag_costs_its_own_service_alone() {
    let (good, bad) = (Upstream::echo().await, Upstream::echo().await);
    let broken = Service::new("broken", &["traefik.http.routers.broken.rule=Host(`broken.test`) &&"]).at(&bad);
    let v1 = Service::new("older", &["traefik.frontend.rule=Origin:x"]).at(&bad);
    let gateway = Setup::with_services(&[broken, v1, Service::on_host("good", "good.test").at(&good)]).start().await;

    assert_eq!(gateway.get("good.test", "/").await.status(), 200);
    assert_eq!(gateway.get("broken.test", "/").await.status(), 404);
    let discovery = gateway.api("/api/discovery").await;
    let refused = discovery["file"]["refused"].as_array().unwrap();
    let tags: Vec<_> = refused.iter().map(|one| (one["service"].as_str(), one["tag"].as_str())).collect();
    let of_v3 = (Some("broken"), Some("traefik.http.routers.broken.rule=Host(`broken.test`) &&"));
    let of_v1 = (Some("older"), Some("traefik.frontend.rule=Origin:x"));
    assert!(tags.contains(&of_v3) && tags.contains(&of_v1) && tags.len() == 2, "{discovery}");
    assert!(refused.iter().all(|one| one["severity"] == "error" && !one["reason"].as_str().unwrap().is_empty()));
}

#[tokio::test]
async fn an_unchanged_catalog_makes_no_new_generation() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).start().await;
    let before = gateway.api("/api/generation").await["id"].clone();

    gateway.catalog().replace(&services);
    gateway.catalog().write_in_place(&services);
    tokio::time::sleep(Duration::from_millis(500)).await; // well past the time a change takes
    assert_eq!(gateway.api("/api/generation").await["id"], before);
}
