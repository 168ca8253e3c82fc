//! The default policies against real upstreams: a breaker that opens, falls back and recovers; error pages, authentication,
//! allow lists, limits of requests at once, splits. One gateway serves them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::client::{Answer, Request};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream, answer};

/// `ann` with the password `password`.
const ANN: &str = "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
const ANNS_HEADER: &str = "Basic YW5uOnBhc3N3b3Jk";

/// A service in the v3 dialect with a middleware of these options, at `NAME.test`.
fn with_middleware(name: &str, options: &[&str]) -> Service {
    let service = Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")])
        .tag(&format!("traefik.http.routers.{name}.middlewares={name}"));
    options.iter().fold(service, |service, option| service.tag(&format!("traefik.http.middlewares.{name}.{option}")))
}

/// A service in the v1 dialect with these options, at `NAME.test`.
fn with_options(name: &str, options: &[&str]) -> Service {
    let service = Service::on_host(name, &format!("{name}.test"));
    options.iter().fold(service, |service, option| service.tag(&format!("traefik.{option}")))
}

/// Answers with the status it is told, and says who it is.
pub(crate) async fn told(name: &'static str, status: &Arc<AtomicU16>) -> Upstream {
    let status = Arc::clone(status);
    let serve = move |mut wire: sluice_tests::wire::Wire| {
        let status = Arc::clone(&status);
        async move {
            while let Ok(Some(head)) = wire.read_head().await {
                let Ok(_) = wire.read_request_body(&head).await else { return };
                let body = format!("\"{name} {}\"", head.word(1));
                if wire.write(answer(status.load(Ordering::Relaxed), &body)).await.is_err() {
                    return;
                }
            }
        }
    };
    Upstream::custom(serve).await
}

async fn ask(gateway: &Gateway, name: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::get(&format!("{name}.test"), "/a?b=1");
    gateway.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

#[tokio::test]
async fn a_breaker_opens_falls_back_and_recovers_by_ramp() {
    let status = Arc::new(AtomicU16::new(200));
    let (shaky, spare) = (told("shop", &status).await, told("spare", &Arc::new(AtomicU16::new(200))).await);
    let breaker = with_middleware(
        "shop",
        &[
            "plugin.circuit-breaker.expression=ResponseCodeRatio(500, 600, 0, 600) > 0.5",
            "plugin.circuit-breaker.check-period=10ms",
            "plugin.circuit-breaker.fallback-duration=500ms",
            "plugin.circuit-breaker.recovery-duration=2s",
            "plugin.circuit-breaker.fallback-service=spare",
        ],
    );
    let services = [breaker.at(&shaky), with_options("spare", &[]).at(&spare)];
    let gateway = Setup::with_services(&services).start().await;
    let from = async || ask(&gateway, "shop", &[]).await.text().split(' ').next().unwrap().trim_matches('"').to_owned();
    for _ in 0..5 {
        assert_eq!(from().await, "shop");
    }

    status.store(500, Ordering::Relaxed);
    until("the fallback service answers", async || from().await == "spare").await;
    let opened = gateway.api("/api/policies/shop@file").await.to_string();
    assert!(opened.contains("ResponseCodeRatio(500, 600, 0, 600) is"), "{opened}");
    status.store(200, Ordering::Relaxed);
    assert_eq!(from().await, "spare", "it stays open whatever the service does");

    // Of the requests of a recovery, some pass and some do not, until all do.
    let mut during = Vec::new();
    until("it has recovered", async || {
        during.push(from().await);
        during.len() > 50 && during.iter().rev().take(50).all(|name| name == "shop")
    })
    .await;
    let last = during.iter().rposition(|name| name == "spare").unwrap();
    let passed = during[..last].iter().filter(|name| *name == "shop").count();
    assert!(passed > 0 && passed * 2 < last, "at most half pass in a recovery: {passed} of {last}");

    // A forced breaker does what it is told.
    let force = Request::new("POST", "admin", "/api/policies/shop@file/force")
        .header("Content-Type", "application/json")
        .body(br#"{"state":"open"}"#);
    assert_eq!(force.send(gateway.admin()).await.status(), 200);
    until("it is open by force", async || from().await == "spare").await;
}

#[tokio::test]
async fn a_breaker_opens_when_nobody_answers_any_more() {
    let (main, spare) = (Upstream::echo().await, told("spare", &Arc::new(AtomicU16::new(200))).await);
    let breaker = with_middleware(
        "shop",
        &[
            "circuitbreaker.expression=NetworkErrorRatio() > 0.3",
            "circuitbreaker.checkperiod=10ms",
            "circuitbreaker.fallbackduration=1m",
        ],
    );
    let services = [breaker.at(&main), with_options("spare", &[]).at(&spare)];
    let gateway = Setup::with_services(&services).start().await;
    assert_eq!(ask(&gateway, "shop", &[]).await.status(), 200);
    main.turn_into(Behaviour::Close);
    // First the failures themselves, then the breaker's own answer, as Traefik has it.
    until("it is open", async || ask(&gateway, "shop", &[]).await.status() == 503).await;
    let before = main.received().len();
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "shop", &[]).await.status(), 503);
    }
    assert_eq!(main.received().len(), before, "nothing of it reaches the service");
    let shown = gateway.api("/api/policies/shop@file").await.to_string();
    assert!(shown.contains("NetworkErrorRatio() is"), "{shown}");
    assert_eq!(ask(&gateway, "spare", &[]).await.status(), 200);
}

#[tokio::test]
async fn an_instance_whose_breaker_is_open_is_left_out() {
    let (good, bad) = (Upstream::echo().await, Upstream::start(Behaviour::Status(500)).await);
    let breaker = with_middleware(
        "shop",
        &[
            "plugin.circuit-breaker.scope=instance",
            "plugin.circuit-breaker.mode=consecutive",
            "plugin.circuit-breaker.threshold=3",
            "plugin.circuit-breaker.fallback-duration=3s",
        ],
    );
    let gateway = Setup::with_services(&[breaker.at(&good).at(&bad)]).start().await;
    let status = async || ask(&gateway, "shop", &[]).await.status();
    until("the bad one fails", async || status().await == 500).await;
    until("it is left out", async || {
        for _ in 0..6 {
            if status().await != 200 {
                return false;
            }
        }
        true
    })
    .await;
    assert!(bad.received().len() >= 3, "{} requests", bad.received().len());
    let shown = gateway.api("/api/policies/shop@file").await;
    assert!(shown["status"].to_string().contains(&bad.address().to_string()), "{shown}");

    // The last one is not left out, however it fails.
    good.turn_into(Behaviour::Status(500));
    for _ in 0..10 {
        assert_eq!(status().await, 500);
    }
    good.turn_into(Behaviour::Echo);
    bad.turn_into(Behaviour::Echo);
    let before = bad.received().len();
    until("its time is over", async || status().await == 200 && bad.received().len() > before).await;
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn policies_of_tags_do_what_traefik_does() {
    let (echo, broken) = (Upstream::echo().await, Upstream::start(Behaviour::Status(500)).await);
    let pages = told("pages", &Arc::new(AtomicU16::new(200))).await;
    let verdict = Arc::new(AtomicU16::new(403));
    let guard = told("guard", &verdict).await;
    let slow = Upstream::start(Behaviour::Slow(Duration::from_millis(300))).await;
    let address = format!("forwardauth.address=http://{}/verify", guard.address());
    let services = [
        with_options("pages", &[]).at(&pages),
        with_options(
            "errors-v1",
            &[
                "frontend.errors.e.status=500-599",
                "frontend.errors.e.backend=pages",
                "frontend.errors.e.query=/{status}.html",
            ],
        )
        .at(&broken),
        with_middleware(
            "errors-v3",
            &[
                "errors.status=500",
                "errors.service=pages",
                "errors.query=/{status}?u={url}",
                "errors.statusrewrites.500=418",
            ],
        )
        .at(&broken),
        with_options(
            "basic-v1",
            &[
                &format!("frontend.auth.basic.users={ANN}"),
                "frontend.auth.headerField=X-User",
                "frontend.auth.basic.removeHeader=true",
            ],
        )
        .at(&echo),
        with_middleware("basic-v3", &[&format!("basicauth.users={ANN}"), "basicauth.realm=shop"]).at(&echo),
        with_middleware("forward", &[&address]).at(&echo),
        with_options("inside", &["frontend.whiteList.sourceRange=127.0.0.0/8"]).at(&echo),
        with_options("outside", &["frontend.whiteList.sourceRange=10.0.0.0/8"]).at(&echo),
        with_middleware("allow", &["ipallowlist.sourcerange=10.0.0.0/8", "ipallowlist.rejectstatuscode=404"]).at(&echo),
        with_middleware("single", &["inflightreq.amount=1"]).at(&slow),
        with_options("maxconn", &["backend.maxconn.amount=1"]).at(&slow),
        with_middleware(
            "canary",
            &["plugin.canary.service=pages", "plugin.canary.header=X-Canary", "plugin.canary.values=yes"],
        )
        .at(&echo),
        with_middleware(
            "reply",
            &[
                "plugin.degrade.status=500",
                "plugin.degrade.reply.status=200",
                "plugin.degrade.reply.body=sorry {status}",
            ],
        )
        .at(&broken),
    ];
    let gateway = Setup::with_services(&services).start().await;

    let page = ask(&gateway, "errors-v1", &[]).await;
    assert_eq!((page.status(), page.text().as_str()), (500, "\"pages /500.html\""));
    let page = ask(&gateway, "errors-v3", &[]).await;
    assert_eq!((page.status(), page.text().as_str()), (418, "\"pages /418?u=%2Fa%3Fb%3D1\""));

    for (name, realm) in [("basic-v1", "traefik"), ("basic-v3", "shop")] {
        let refused = ask(&gateway, name, &[]).await;
        assert_eq!((refused.status(), refused.text().as_str()), (401, "401 Unauthorized\n"), "{name}");
        assert_eq!(refused.head.get("www-authenticate"), Some(format!("Basic realm=\"{realm}\"").as_str()));
        assert_eq!(ask(&gateway, name, &[("Authorization", "Basic YW5uOndyb25n")]).await.status(), 401);
        assert_eq!(ask(&gateway, name, &[("Authorization", ANNS_HEADER)]).await.status(), 200);
    }
    let headers = ask(&gateway, "basic-v1", &[("Authorization", ANNS_HEADER)]).await.json()["headers"].clone();
    assert_eq!((headers["x-user"][0].as_str(), headers.get("authorization")), (Some("ann"), None));

    assert_eq!(ask(&gateway, "forward", &[]).await.status(), 403);
    verdict.store(204, Ordering::Relaxed);
    assert_eq!(ask(&gateway, "forward", &[]).await.status(), 200);

    let statuses = async |name: &str| ask(&gateway, name, &[("X-Forwarded-For", "10.0.0.1")]).await.status();
    assert_eq!((statuses("inside").await, statuses("outside").await, statuses("allow").await), (200, 403, 404));

    for name in ["single", "maxconn"] {
        let both = tokio::join!(ask(&gateway, name, &[]), ask(&gateway, name, &[]));
        let mut both = [both.0, both.1];
        both.sort_by_key(Answer::status);
        assert_eq!([both[0].status(), both[1].status()], [200, 429], "{name}");
        assert_eq!(both[1].text(), "max connections reached: 1");
        assert_eq!(ask(&gateway, name, &[]).await.status(), 200, "{name}: there is room again");
    }

    assert!(ask(&gateway, "canary", &[]).await.json().get("method").is_some());
    assert_eq!(ask(&gateway, "canary", &[("X-Canary", "yes")]).await.text(), "\"pages /a?b=1\"");
    let reply = ask(&gateway, "reply", &[]).await;
    assert_eq!((reply.status(), reply.text().as_str()), (200, "sorry 500"));
    assert_eq!(reply.head.get("x-degraded"), Some("status 500"));
}

#[tokio::test]
async fn a_users_file_is_read_again_when_it_changes() {
    let echo = Upstream::echo().await;
    let folder = sluice_tests::process::Folder::new();
    let file = folder.join("users");
    std::fs::write(&file, format!("{ANN}\n")).unwrap();
    let service = with_middleware("shop", &[&format!("basicauth.usersfile={}", file.display())]).at(&echo);
    let gateway = Setup::with_services(&[service]).start().await;
    let status = async || ask(&gateway, "shop", &[("Authorization", ANNS_HEADER)]).await.status();
    assert_eq!(status().await, 200);

    std::fs::write(&file, "this is no user\n").unwrap();
    // Long enough for the gateway to look twice.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(status().await, 200, "what worked stays while the file makes no sense");
    std::fs::write(&file, ANN.replace("ann", "bob")).unwrap();
    until("the file counts", async || status().await == 401).await;
}
