//! What tags can say that is neither a rule nor a step: contradictions, mistakes, and both dialects side by side.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup, binary};
use sluice_tests::process::{Folder, free_address};
use sluice_tests::tls::{Authority, connect, get};
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};

/// What was refused or repaired: service, severity, tag and reason.
async fn findings(gateway: &Gateway) -> Vec<(String, String, String, String)> {
    let discovery = gateway.api("/api/discovery").await;
    let text = |found: &Value, key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let all = discovery["file"]["refused"].as_array().unwrap().iter();
    all.map(|found| (text(found, "service"), text(found, "severity"), text(found, "tag"), text(found, "reason")))
        .collect()
}

/// What `sluice check` says of the gateway's own configuration.
fn checked(gateway: &Gateway) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(["check", "--config"]).arg(gateway.config_file()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[tokio::test]
async fn while_a_deploy_rolls_the_tags_of_most_instances_count() {
    let upstreams = [Upstream::echo().await, Upstream::echo().await, Upstream::echo().await];
    let deploy = |hosts: [&str; 3]| {
        let v1 = |host: &str| format!("traefik.frontend.rule=Host:{host}.v1");
        let v3 = |host: &str| format!("traefik.http.routers.new.rule=Host(`{host}.v3`)");
        let all = upstreams.iter().zip(hosts);
        let add = |(old, new): (Service, Service), (upstream, host): (&Upstream, &str)| {
            (old.at_port(upstream.port(), &[&v1(host)]), new.at_port(upstream.port(), &[&v3(host)]))
        };
        let (old, new) = all.fold((Service::new("old", &[]), Service::new("new", &[])), add);
        [old, new]
    };
    let gateway = Setup::with_services(&deploy(["blue", "blue", "green"])).start().await;
    for (blue, green, hosts) in [(200, 404, ["blue", "green", "green"]), (404, 200, ["green", "green", "green"])] {
        for dialect in ["v1", "v3"] {
            assert_eq!(gateway.get(&format!("blue.{dialect}"), "/").await.status(), blue, "{dialect}");
            assert_eq!(gateway.get(&format!("green.{dialect}"), "/").await.status(), green, "{dialect}");
        }
        let found = findings(&gateway).await;
        assert_eq!(found.iter().map(|one| one.0.as_str()).collect::<Vec<_>>(), ["new", "old"], "{found:?}");
        assert!(found.iter().all(|one| one.1 == "warning" && one.3.contains("different")), "{found:?}");
        gateway.catalog().replace(&deploy(hosts));
        gateway.until_status("green.v1", 200).await;
        gateway.until_status("green.v3", 200).await;
    }
    until("nothing contradicts any more", async || findings(&gateway).await.is_empty()).await;
    let before = upstreams.each_ref().map(|upstream| upstream.received().len());
    for _ in 0..6 {
        gateway.get("green.v3", "/").await;
    }
    let after = upstreams.each_ref().map(|upstream| upstream.received().len());
    assert_eq!(after.iter().zip(before).map(|(after, before)| after - before).collect::<Vec<_>>(), [2, 2, 2]);
}

#[tokio::test]
async fn every_refused_and_repaired_tag_is_told_in_the_api_the_log_and_by_check() {
    let upstream = Upstream::echo().await;
    let services = [
        Service::new("torn", &["traefik.frontend.rule=Host:a.test", "b.test", " traefik.frontend.priority=3"]),
        Service::new(
            "bad",
            &["traefik.http.routers.bad.rule=Host(`bad.test`)", "traefik.http.routers.bad.prioritee=1"],
        ),
        Service::new(
            "half",
            &["traefik.http.routers.x.rule=Hots(`x.test`)", "traefik.http.routers.y.rule=Host(`y.test`)"],
        ),
    ];
    let services: Vec<_> = services.into_iter().map(|service| service.at(&upstream)).collect();
    let mut gateway = Setup::with_services(&services).config("repair-commas = true").start().await;
    for (host, status) in [("a.test", 200), ("b.test", 200), ("bad.test", 404), ("x.test", 404), ("y.test", 200)] {
        assert_eq!(gateway.get(host, "/").await.status(), status, "{host}");
    }
    let found = findings(&gateway).await;
    let (code, said) = checked(&gateway);
    assert_eq!(code, Some(1), "{said}");
    let log = gateway.process().log();
    for (service, severity, tag) in [
        ("torn", "warning", "b.test"),
        ("torn", "warning", " traefik.frontend.priority=3"),
        ("bad", "error", "traefik.http.routers.bad.prioritee=1"),
        ("half", "error", "traefik.http.routers.x.rule=Hots(`x.test`)"),
    ] {
        let one = found.iter().find(|one| (one.0.as_str(), one.1.as_str(), one.2.as_str()) == (service, severity, tag));
        let reason = &one.unwrap_or_else(|| panic!("{tag} is not among {found:?}")).3;
        assert!(!reason.is_empty() && said.contains(reason.as_str()), "{reason} is missing in {said}");
        assert!(log.contains(reason.as_str()), "{reason} is missing in {log}");
    }
}

#[tokio::test]
async fn both_dialects_serve_one_service_side_by_side() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let mixed = Service::new("mixed", &[])
        .at_port(one.port(), &["traefik.frontend.rule=Host:old.test", "traefik.weight=2"])
        .at_port(two.port(), &["traefik.http.routers.new.rule=Host(`new.test`)"]);
    let sloppy =
        Service::on_host("sloppy", "ignored.test").tag("traefik.http.routers.sloppy.rule=Host(`sloppy.test`)").at(&one);
    let gateway = Setup::with_services(&[mixed, sloppy]).start().await;
    for (host, status) in [("old.test", 200), ("new.test", 200), ("ignored.test", 404), ("sloppy.test", 200)] {
        assert_eq!(gateway.get(host, "/").await.status(), status, "{host}");
    }
    let found = findings(&gateway).await;
    assert!(
        found.iter().any(|one| one.0 == "sloppy" && one.3.contains("one instance is read in one dialect")),
        "{found:?}"
    );
}

#[tokio::test]
async fn instances_may_be_shown_the_certificate_of_the_entrypoint() {
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.issue(&["a.test"]).write(folder.path(), "front");
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let upstream = Upstream::echo().await;
    // An instance that wants to see a certificate of this authority.
    let inside = free_address();
    let strict = format!(
        "[entrypoints.strict]\naddress = \"{inside}\"\ntls = {{ client-auth = {{ ca = \"{}\" }} }}",
        folder.join("ca.pem").display()
    );
    let all = Service::new("all", &["traefik.http.routers.all.rule=PathPrefix(`/`)"]).at(&upstream);
    let _instance = Setup::with_services(&[all]).config(&strict).start().await;

    let front = free_address();
    let of = |name: &str, more: &[&str]| {
        let service = Service::on_host(name, &format!("{name}.test")).tag("traefik.protocol=https");
        let service = service.tag("traefik.frontend.entryPoints=front");
        more.iter().fold(service, |service, tag| service.tag(tag)).at_port(inside.port(), &[])
    };
    let services = [
        of("a", &["traefik.frontend.passTLSCert=true"]),
        of("b", &[]),
        Service::on_host("c", "c.test").tag("traefik.frontend.passTLSCert=true").at(&upstream),
    ];
    let config = format!(
        "[transports.default]\ninsecure-skip-verify = true\n\n[entrypoints.front]\naddress = \"{front}\"\n\
         tls = {{ certificates = [{{ cert = \"{0}/front.pem\", key = \"{0}/front.key\" }}] }}",
        folder.path().display()
    );
    let gateway = Setup::with_services(&services).config(&config).start().await;
    let client = Arc::new(authority.client(None));
    for (host, status) in [("a.test", 200), ("b.test", 502)] {
        let mut stream = connect(front, "a.test", &client).await.unwrap();
        assert_eq!(get(&mut stream, host, "/").await.unwrap().0, status, "{host}");
    }
    assert_eq!(gateway.get("c.test", "/").await.status(), 404, "`web` has no certificate to show");
}

#[tokio::test]
async fn pages_nobody_serves_are_told_until_somebody_does() {
    let (broken, pages) = (Upstream::start(Behaviour::Status(500)).await, Upstream::echo().await);
    let old = [
        "traefik.frontend.rule=Host:old.test",
        "traefik.frontend.errors.e.status=500",
        "traefik.frontend.errors.e.backend=pages",
        "traefik.frontend.errors.e.query=/sorry",
    ];
    let new = [
        "traefik.http.routers.new.rule=Host(`new.test`)",
        "traefik.http.routers.new.middlewares=sorry",
        "traefik.http.middlewares.sorry.errors.status=500",
        "traefik.http.middlewares.sorry.errors.service=pages",
        "traefik.http.middlewares.sorry.errors.query=/sorry",
    ];
    let mut services = vec![Service::new("old", &old).at(&broken), Service::new("new", &new).at(&broken)];
    let gateway = Setup::with_services(&services).start().await;
    let found = findings(&gateway).await;
    assert_eq!(found.iter().map(|one| one.0.as_str()).collect::<Vec<_>>(), ["new", "old"], "{found:?}");
    assert!(found.iter().all(|one| one.3.contains("there is no service `pages` that works")), "{found:?}");
    for host in ["old.test", "new.test"] {
        assert_eq!(gateway.get(host, "/").await.status(), 500, "{host}: the answer stays as it is");
    }
    services.push(Service::on_host("pages", "pages.test").at(&pages));
    gateway.catalog().replace(&services);
    until("nobody misses them", async || findings(&gateway).await.is_empty()).await;
    for host in ["old.test", "new.test"] {
        assert_eq!(gateway.get(host, "/").await.status(), 500, "{host}");
    }
    assert_eq!(pages.count("/sorry"), 2);
}
