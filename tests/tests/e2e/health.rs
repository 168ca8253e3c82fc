//! Health checks, and what requests say of health.

use sluice_tests::catalog::Service;
use sluice_tests::consul::Consul;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};

async fn status(gateway: &Gateway, service: &str, upstream: &Upstream) -> String {
    let shown = gateway.api(&format!("/api/http/services/{service}@file")).await;
    let url = format!("http://127.0.0.1:{}", upstream.port());
    shown["serverStatus"][&url].as_str().unwrap_or_default().to_owned()
}

async fn until_status(gateway: &Gateway, service: &str, upstream: &Upstream, wanted: &str) {
    until(&format!("{service} is {wanted}"), async || status(gateway, service, upstream).await == wanted).await;
}

fn v1(name: &str) -> Service {
    let service = Service::on_host(name, &format!("{name}.test"));
    service.tag("traefik.backend.healthcheck.path=/health").tag("traefik.backend.healthcheck.interval=50ms")
}

fn v3(name: &str, options: &[&str]) -> Service {
    let service = Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]);
    options
        .iter()
        .fold(service, |service, option| service.tag(&format!("traefik.http.services.{name}.loadbalancer.{option}")))
}

#[tokio::test]
async fn instances_that_fail_their_check_get_no_requests_until_they_pass() {
    let (good, bad) = (Upstream::echo().await, Upstream::start(Behaviour::Status(500)).await);
    let plain = Upstream::echo().await;
    let services = [v1("shop").at(&good).at(&bad), Service::on_host("other", "other.test").at(&plain)];
    let gateway = Setup::with_services(&services).start().await;
    until_status(&gateway, "shop", &bad, "DOWN").await;
    for _ in 0..6 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    assert_eq!((good.count("/"), bad.count("/")), (6, 0));
    let asked = bad.received().remove(0);
    assert_eq!((asked.head.word(0), asked.head.word(1)), ("GET", "/health"));

    // Another service changes: what is known of this one stays.
    gateway.catalog().replace(&[v1("shop").at(&good).at(&bad), Service::on_host("other", "else.test").at(&plain)]);
    gateway.until_status("else.test", 200).await;
    assert_eq!(status(&gateway, "shop", &bad).await, "DOWN");

    bad.turn_into(Behaviour::Echo);
    until_status(&gateway, "shop", &bad, "UP").await;
    for _ in 0..6 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    assert_eq!((good.count("/"), bad.count("/")), (9, 3));
}

#[tokio::test]
async fn nobody_in_health_is_a_503_in_the_words_of_each_dialect() {
    let bad = Upstream::start(Behaviour::Status(500)).await;
    let check = ["healthcheck.path=/health", "healthcheck.interval=50ms"];
    let services = [v1("old").at(&bad), v3("new", &check).at(&bad)];
    let gateway = Setup::with_services(&services).start().await;
    for (service, words) in [("old", "Service Unavailable"), ("new", "no available server\n")] {
        until_status(&gateway, service, &bad, "DOWN").await;
        let answer = gateway.get(&format!("{service}.test"), "/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (503, words));
    }
    assert_eq!(bad.count("/"), 0);
}

#[tokio::test]
async fn checks_have_their_options() {
    let upstream = Upstream::start(Behaviour::Status(204)).await;
    let closed = free_address().port();
    let asked = |options: &[&'static str]| [&["healthcheck.interval=50ms"], options].concat();
    let services = [
        v3("exact", &asked(&["healthcheck.path=/exact", "healthcheck.status=200"])).at(&upstream),
        v3(
            "head",
            &asked(&[
                "healthcheck.path=/head",
                "healthcheck.method=HEAD",
                "healthcheck.hostname=in.test",
                "healthcheck.headers.X-Probe=1",
            ]),
        )
        .at(&upstream),
        v3("port", &asked(&["healthcheck.path=/port"]))
            .tag(&format!("traefik.http.services.port.loadbalancer.healthcheck.port={closed}"))
            .at(&upstream),
        v3("tcp", &asked(&["healthcheck.mode=tcp", "healthcheck.passes=1"])).at(&upstream),
    ];
    let gateway = Setup::with_services(&services).start().await;
    until_status(&gateway, "exact", &upstream, "DOWN").await;
    until_status(&gateway, "port", &upstream, "DOWN").await;
    until("it was asked by HEAD", async || upstream.count("/head") > 2).await;
    let received = upstream.received();
    let head = received.iter().find(|request| request.head.word(1) == "/head").unwrap();
    assert_eq!(
        (head.head.word(0), head.head.get("host"), head.head.get("x-probe")),
        ("HEAD", Some("in.test"), Some("1"))
    );
    for service in ["head", "tcp"] {
        assert_eq!(status(&gateway, service, &upstream).await, "UP", "{service}");
    }
    let shown = gateway.api("/api/http/services/port@file").await;
    assert!(shown["servers"][0]["healthCheck"]["lastError"].as_str().unwrap().contains("connecting"), "{shown}");
}

#[tokio::test]
async fn failing_requests_take_an_instance_out() {
    let (good, bad, fine) =
        (Upstream::echo().await, Upstream::start(Behaviour::Status(500)).await, Upstream::echo().await);
    let passive = ["passivehealthcheck.maxfailedattempts=2", "passivehealthcheck.failurewindow=1s"];
    let outlier = ["outlierejection.failures=3", "outlierejection.basetime=60s"];
    let services =
        [v3("passive", &passive).at(&good).at(&bad).at(&fine), v3("outlier", &outlier).at(&good).at(&bad).at(&fine)];
    let gateway = Setup::with_services(&services).start().await;
    for (host, failures) in [("passive.test", 2), ("outlier.test", 3)] {
        let before = bad.received().len();
        let mut failed = 0;
        for _ in 0..18 {
            failed += usize::from(gateway.get(host, "/").await.status() == 500);
        }
        assert_eq!((failed, bad.received().len() - before), (failures, failures), "{host}");
        assert_eq!(status(&gateway, host.trim_end_matches(".test"), &bad).await, "DOWN");
    }
    until_status(&gateway, "passive", &bad, "UP").await;
    assert_eq!(status(&gateway, "outlier", &bad).await, "DOWN");
}

#[tokio::test]
async fn with_few_in_health_all_are_used_where_that_is_asked_for() {
    let bad = Upstream::start(Behaviour::Status(500)).await;
    let (worse, good) = (Upstream::start(Behaviour::Status(500)).await, Upstream::echo().await);
    let check = ["healthcheck.path=/health", "healthcheck.interval=50ms"];
    let of = |service: Service| service.at(&bad).at(&worse).at(&good);
    let panic = [&check[..], &["panicthreshold=50"]].concat();
    let gateway =
        Setup::with_services(&[of(v3("panic", &panic)), of(v3("calm", &check)), of(v1("older"))]).start().await;
    for service in ["panic", "calm", "older"] {
        until_status(&gateway, service, &bad, "DOWN").await;
        until_status(&gateway, service, &worse, "DOWN").await;
        until_status(&gateway, service, &good, "UP").await;
    }
    for _ in 0..6 {
        gateway.get("panic.test", "/panic").await;
        for calm in ["calm", "older"] {
            assert_eq!(gateway.get(&format!("{calm}.test"), &format!("/{calm}")).await.status(), 200);
        }
    }
    assert_eq!((bad.count("/panic"), good.count("/panic")), (2, 2));
    assert_eq!((good.count("/calm"), good.count("/older")), (6, 6), "as in Traefik");
}

#[tokio::test]
async fn services_without_healthy_instances_may_keep_their_routes() {
    let Some(consul) = Consul::start().await else { return };
    let upstream = Upstream::echo().await;
    let service = Service::on_host("web", "web.test").tag("traefik.enable=true").at(&upstream);
    consul.register(&service).await;
    let gateway = Setup::with_consul(consul.address()).config("allow-empty-services = true").start().await;
    gateway.until_status("web.test", 200).await;
    consul.set_check("web-1", "critical").await;
    gateway.until_status("web.test", 503).await;
    let answer = gateway.get("web.test", "/").await;
    assert_eq!(answer.text(), "no available server: none of 1 instances of web is healthy\n");
    consul.set_check("web-1", "passing").await;
    gateway.until_status("web.test", 200).await;
}
