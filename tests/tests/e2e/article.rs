//! The article's scenario on the file provider, with its tags to the letter.

use std::collections::BTreeMap;

use sluice_tests::catalog::Service;
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::Upstream;

const GO: &str = "go.traefix.example.localhost";
const PYTHON: &str = "python.traefix.example.localhost";

/// The article's gateway serves an entrypoint called `http`; the harness calls it `web`.
fn service(name: &str, host: &str) -> Service {
    let rule = format!("traefik.frontend.rule=Host:{host}");
    Service::new(name, &["traefik.enable=true", "traefik.frontend.entryPoints=web", &rule])
}

#[tokio::test]
async fn both_hosts_answer_and_the_instances_share_the_requests() {
    let go = [Upstream::echo().await, Upstream::echo().await, Upstream::echo().await];
    let python = Upstream::echo().await;
    let web_go = go.iter().fold(service("web-go", GO), Service::at);
    let gateway = Setup::with_services(&[web_go, service("web-python", PYTHON).at(&python)]).start().await;

    assert_eq!(gateway.get(PYTHON, "/").await.status(), 200);
    assert_eq!(python.received().len(), 1);
    for _ in 0..9 {
        assert_eq!(gateway.get(GO, "/").await.status(), 200);
    }
    let counts: Vec<_> = go.iter().map(|upstream| upstream.received().len()).collect();
    assert_eq!(counts, [3, 3, 3]);
}

#[tokio::test]
async fn an_unknown_host_gets_the_answer_traefik_gives() {
    let python = Upstream::echo().await;
    let gateway = Setup::with_services(&[service("web-python", PYTHON).at(&python)]).start().await;

    let answer = gateway.get("unknown.example.localhost", "/").await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.text(), "404 page not found\n");
    assert_eq!(answer.head.get("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.head.get("x-content-type-options"), Some("nosniff"));
    assert!(python.received().is_empty());
}

#[tokio::test]
async fn the_admin_api_names_the_routes_as_traefik_does() {
    let python = Upstream::echo().await;
    let gateway = Setup::with_services(&[service("web-python", PYTHON).at(&python)]).start().await;

    let routers = gateway.api("/api/http/routers").await;
    let routers = routers.as_array().expect("a list of routers");
    let names: BTreeMap<_, _> = routers.iter().map(|router| (router["name"].as_str().unwrap(), router)).collect();
    let (name, router) = names.iter().find(|(name, _)| name.contains("web-python")).expect("a router of the service");
    assert!(name.ends_with("@file"), "{name}");
    assert_eq!(router["rule"], format!("Host:{PYTHON}"));
    assert_eq!(router["status"], "enabled");
    assert_eq!(router["provider"], "file");
    assert_eq!(router["entryPoints"], serde_json::json!(["web"]));

    let services = gateway.api("/api/http/services").await.to_string();
    assert!(services.contains(&format!("http://127.0.0.1:{}", python.port())), "{services}");
}
