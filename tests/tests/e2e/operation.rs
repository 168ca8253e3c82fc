//! Running and stopping the process, and what it says of itself.

use std::time::{Duration, Instant};

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
async fn scripts_written_for_traefiks_api_find_what_they_look_for() {
    let upstream = Upstream::echo().await;
    let tags = [
        "traefik.http.routers.shop.rule=Host(`shop`)",
        "traefik.http.routers.shop.middlewares=pre,cut,limit",
        "traefik.http.middlewares.pre.addprefix.prefix=/pre",
        "traefik.http.middlewares.cut.stripprefixregex.regex=/[a-z]+/x",
        "traefik.http.middlewares.limit.ratelimit.average=100",
        "traefik.http.routers.torn.rule=Host(`torn`)",
        "traefik.http.routers.torn.middlewares=wrong",
        "traefik.http.middlewares.wrong.replacepathregex.regex=[",
    ];
    let gateway =
        Setup::with_services(&[Service::new("shop", &tags).at(&upstream)]).config("[access-log]").start().await;
    let url = format!("http://127.0.0.1:{}", upstream.port());

    let router = gateway.api("/api/http/routers/shop@file").await;
    let wanted = serde_json::json!({
        "name": "shop@file", "provider": "file", "rule": "Host(`shop`)", "priority": 12, "service": "shop",
        "entryPoints": ["web"], "using": ["web"], "status": "enabled",
        "middlewares": ["pre@file", "cut@file", "limit@file"],
    });
    assert_eq!(router, wanted);
    let torn = gateway.api("/api/http/routers/torn%40file").await;
    assert!(torn["status"] == "disabled" && torn["error"][0].is_string(), "{torn}");

    let service = gateway.api("/api/http/services/shop@file").await;
    assert_eq!((&service["type"], &service["status"]), (&"loadbalancer".into(), &"enabled".into()));
    assert_eq!(service["loadBalancer"]["servers"][0]["url"], url);
    assert_eq!(service["loadBalancer"]["passHostHeader"], true);
    assert_eq!(service["serverStatus"][&url], "UP");
    assert_eq!(service["usedBy"], serde_json::json!(["shop@file", "torn@file"]));

    for (name, kind, key, status, user) in [
        ("pre", "addprefix", "addPrefix", "enabled", "shop@file"),
        ("cut", "stripprefixregex", "stripPrefixRegex", "enabled", "shop@file"),
        ("limit", "plugin", "plugin", "enabled", "shop@file"),
        ("wrong", "replacepathregex", "replacePathRegex", "disabled", "torn@file"),
    ] {
        let shown = gateway.api(&format!("/api/http/middlewares/{name}@file")).await;
        assert_eq!((&shown["type"], &shown["status"]), (&kind.into(), &status.into()), "{shown}");
        assert!(shown[key].is_object(), "{shown}");
        assert_eq!(shown["usedBy"], serde_json::json!([user]), "{name}");
        assert_eq!(shown["error"].is_array(), status == "disabled", "{shown}");
    }

    let overview = gateway.api("/api/overview").await;
    let count = |total: u64, errors: u64| serde_json::json!({ "total": total, "warnings": 0, "errors": errors });
    let http = [("routers", count(2, 1)), ("services", count(1, 0)), ("middlewares", count(4, 1))];
    for (kind, wanted) in http {
        assert_eq!(overview["http"][kind], wanted, "{kind}");
    }
    assert_eq!(overview["features"], serde_json::json!({ "tracing": "", "metrics": "Prometheus", "accessLog": true }));
    assert_eq!((&overview["providers"][0], &overview["udp"]["routers"]["total"]), (&"file".into(), &0.into()));

    let raw = gateway.api("/api/rawdata").await;
    for (kind, name) in [("routers", "shop@file"), ("services", "shop@file"), ("middlewares", "pre@file")] {
        assert_eq!(raw[kind][name]["status"], "enabled", "{kind}");
    }
    assert_eq!(raw["services"]["shop@file"]["serverStatus"][&url], "UP");
    assert!(["tcpRouters", "tcpServices", "tcpMiddlewares"].iter().all(|kind| raw[kind].is_object()), "{raw}");

    let entrypoint = &gateway.api("/api/entrypoints").await[0];
    assert_eq!((&entrypoint["name"], &entrypoint["asDefault"]), (&"web".into(), &true.into()));
    assert_eq!(entrypoint["address"], gateway.web().to_string());
    assert!(entrypoint["forwardedHeaders"]["trustedIPs"].is_array() && entrypoint["http2"].is_object(), "{entrypoint}");
    let version = gateway.api("/api/version").await;
    assert!(["Version", "Codename", "startDate"].iter().all(|key| version[key].is_string()), "{version}");

    let page = Request::get("admin", "/api/http/middlewares?per_page=3&status=enabled").send(gateway.admin()).await;
    assert_eq!((page.json().as_array().unwrap().len(), page.head.get("x-next-page")), (3, Some("1")));
    let page = Request::get("admin", "/api/http/routers?per_page=1").send(gateway.admin()).await;
    assert_eq!((&page.json()[0]["name"], page.head.get("x-next-page")), (&"shop@file".into(), Some("2")));
}

#[tokio::test]
async fn routes_and_entrypoints_say_what_is_noted() {
    let upstream = Upstream::echo().await;
    let of = |name: &str, noted: &[&str]| {
        let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}`)");
        let service = Service::new(name, &[&rule, &format!("traefik.http.routers.{name}.entrypoints=web,quiet")]);
        let tag = |service: Service, option: &&str| {
            service.tag(&format!("traefik.http.routers.{name}.observability.{option}"))
        };
        noted.iter().fold(service, tag).at(&upstream)
    };
    let services = [
        of("usual", &[]),
        of("loud", &["accesslogs=true", "metrics=true"]),
        of("still", &["accesslogs=false", "metrics=false"]),
    ];
    let quiet = sluice_tests::process::free_address();
    let config = format!(
        "[entrypoints.quiet]\naddress = \"{quiet}\"\nobservability = {{ access-logs = false, metrics = false }}\n\n\
         [access-log]\noutput = \"access.log\""
    );
    let gateway = Setup::with_services(&services).config(&config).start().await;
    for (address, path) in [(gateway.web(), "/web"), (quiet, "/quiet")] {
        for host in ["usual", "loud", "still", "unknown"] {
            let status = Request::get(host, path).send(address).await.status();
            assert_eq!(status, if host == "unknown" { 404 } else { 200 }, "{host}{path}");
        }
    }
    let log = || std::fs::read_to_string(gateway.folder().join("access.log")).unwrap_or_default();
    until("the last line is written", async || log().lines().count() >= 4).await;
    let lines = log();
    let of =
        |router: &str, path: &str| lines.lines().filter(|line| line.contains(router) && line.contains(path)).count();
    let counts =
        [("usual@file", "/web"), ("loud@file", "/web"), ("loud@file", "/quiet")].map(|(name, path)| of(name, path));
    assert_eq!((counts, lines.lines().count()), ([1, 1, 1], 4), "{lines}");
    let metrics = admin_text(&gateway, "/metrics").await;
    let counted = |name: &str| {
        let of = |line: &&str| line.starts_with("sluice_service_requests_total") && line.contains(name);
        metrics
            .lines()
            .filter(of)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, count| sum + count)
    };
    let counts = ["usual@file", "loud@file", "still@file"].map(counted);
    assert_eq!(counts.map(|count| format!("{count}")), ["1", "2", "0"], "{metrics}");
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

#[tokio::test]
async fn unused_connections_are_closed_one_by_one() {
    let upstream = Upstream::echo().await;
    let setup = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]);
    let shutdown = "[shutdown]\npre-stop = \"0s\"\ndrain = \"20s\"\nclose-spread = \"3s\"";
    let mut gateway = setup.config(shutdown).start().await;
    let mut idle = tokio::task::JoinSet::new();
    let mut asking = Wire::connect(gateway.web()).await.unwrap();
    let request = Request::get("shop.test", "/");
    assert_eq!(request.send_on(&mut asking).await.unwrap().head.get("connection"), None);
    let mut wires = Vec::new();
    for _ in 0..40 {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        assert_eq!(request.send_on(&mut wire).await.unwrap().status(), 200);
        wires.push(wire);
    }
    gateway.process().signal("TERM");
    let begun = Instant::now();
    for mut wire in wires {
        idle.spawn(async move {
            assert!(matches!(wire.read_head().await, Ok(None)), "nothing but an end");
            begun.elapsed()
        });
    }
    // Whoever asks while its connection waits for its turn is answered, and told that it was the last time.
    until("nobody new is let in", async || Wire::connect(gateway.web()).await.is_err()).await;
    if let Ok(answer) = request.send_on(&mut asking).await {
        assert_eq!((answer.status(), answer.head.get("connection")), (200, Some("close")));
    }
    let mut closed = idle.join_all().await;
    closed.sort_unstable();
    let (first, last) = (closed[0], closed[closed.len() - 1]);
    assert!(last - first > Duration::from_millis(800), "all at once: from {first:?} to {last:?}");
    let process = gateway.process();
    until("the process ends", async || process.ended().is_some()).await;
    assert!(gateway.process().ended().is_some_and(|status| status.success()));
}

#[tokio::test]
async fn short_of_memory_new_work_is_refused() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    // No gateway is that small.
    let full = "[overload]\nmemory = \"1MiB\"\nconnection-percent = ";
    let refusing = Setup::with_services(&services).config(&format!("{full}10000\nrequest-percent = 100")).start().await;
    let mut wire = Wire::connect(refusing.web()).await.unwrap();
    let answer = Request::get("shop.test", "/").send_on(&mut wire).await.unwrap();
    let head = &answer.head;
    assert_eq!((answer.status(), head.get("retry-after"), head.get("connection")), (503, Some("1"), Some("close")));
    let metrics = admin_text(&refusing, "/metrics").await;
    assert!(metrics.contains("sluice_rejected_total{reason=\"memory\"} 1"), "{metrics}");
    assert!(upstream.received().is_empty());

    let closing = Setup::with_services(&services).config(&format!("{full}100")).start().await;
    let mut wire = Wire::connect(closing.web()).await.unwrap();
    assert!(Request::get("shop.test", "/").send_on(&mut wire).await.is_err(), "nobody reads what is sent");

    let ending = format!("{full}10000\nrequest-percent = 10000");
    let resting =
        Setup::with_services(&services).config(&format!("{ending}\nkeep-alive-percent = 10000")).start().await;
    let ending = Setup::with_services(&services).config(&ending).start().await;
    let answer = ending.get("shop.test", "/").await;
    assert_eq!((answer.status(), answer.head.get("connection")), (200, Some("close")));

    // Connections are kept, but not for the 75 seconds they would have else.
    let mut wire = Wire::connect(resting.web()).await.unwrap();
    for _ in 0..2 {
        let answer = Request::get("shop.test", "/").send_on(&mut wire).await.unwrap();
        assert_eq!((answer.status(), answer.head.get("connection")), (200, None));
    }
    assert!(matches!(wire.read_head().await, Ok(None)), "nothing but an end");
}
