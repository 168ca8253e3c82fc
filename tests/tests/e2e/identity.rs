//! `http-strictness.md` 2b and 2c where steps and policies take part: what they see, what they may be told, and who else
//! learns of it. One gateway serves all rows.

use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

/// `ann` with the password `password`.
const ANN: &str = "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
/// Paths that servers take for one another.
const VARIANTS: [&str; 12] = [
    "/admin",
    "//admin",
    "/./admin",
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/%61dmin",
    "/ADMIN",
    "/Admin/",
    "/admin/",
    "/admin%2F..",
    "/admin;x",
    "/admin/./x",
];

/// A v3 service at `NAME.test` with one middleware of these options.
fn with_middleware(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
    let service = Service::new(name, &[&rule]).tag(&format!("traefik.http.routers.{name}.middlewares={name}"));
    options.iter().fold(service, |service, option| service.tag(&format!("traefik.http.middlewares.{name}.{option}")))
}

/// Bytes as they are; the status of the answer and whether the connection was closed behind it.
async fn raw(gateway: &Gateway, bytes: &str) -> (u16, bool) {
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(bytes).await.unwrap();
    let head = wire.read_head().await.unwrap().expect("an answer");
    wire.read_answer_body(&head).await.unwrap();
    let closed = head.get("connection") == Some("close") && matches!(wire.read_head().await, Ok(None) | Err(_));
    (head.status(), closed)
}

async fn rejected(gateway: &Gateway, reason: &str) -> u64 {
    let text = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    let line = format!("sluice_rejected_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_stripped_prefix_is_no_way_out() {
    let upstream = Upstream::echo().await;
    let services = [
        with_middleware("strip", &["stripprefix.prefixes=/api"]).at(&upstream),
        with_middleware("regex", &["replacepathregex.regex=^/old(.*)", "replacepathregex.replacement=/new/$1"])
            .at(&upstream),
    ];
    let gateway = Setup::with_services(&services).start().await;
    for (host, target) in [
        ("strip", "/api../admin"),
        ("strip", "/api./x"),
        ("strip", "/api%2e%2e/x"),
        ("strip", "/api%2E./x"),
        ("regex", "/old../x"),
        ("regex", "/old/./../old./x"),
    ] {
        let before = rejected(&gateway, "path_after_steps").await;
        let answer = raw(&gateway, &format!("GET {target} HTTP/1.1\r\nHost: {host}.test\r\n\r\n")).await;
        assert_eq!(answer, (400, true), "H12 {host} {target}");
        assert_eq!(rejected(&gateway, "path_after_steps").await, before + 1, "H12 {host} {target}");
    }
    assert!(upstream.received().is_empty(), "H12");
    for (target, sent) in [("/apix", "/x"), ("/api/x", "/x"), ("/api", "/"), ("/other", "/other")] {
        assert_eq!(gateway.get("strip.test", target).await.json()["uri"], *sent, "H12 {target}");
    }
}

#[tokio::test]
async fn the_router_a_policy_and_the_upstream_see_one_path() {
    let (open, closed, guard) = (Upstream::echo().await, Upstream::echo().await, Upstream::echo().await);
    let address = format!("forwardauth.address=http://{}/verify", guard.address());
    let auth = format!("traefik.http.middlewares.ann.basicauth.users={ANN}");
    let services = [
        with_middleware("asked", &[&address]).at(&open),
        Service::new("open", &["traefik.http.routers.open.rule=Host(`shop.test`)"]).at(&open),
        Service::new(
            "closed",
            &[
                "traefik.http.routers.closed.rule=Host(`shop.test`) && PathPrefix(`/admin`)",
                "traefik.http.routers.closed.middlewares=ann",
                &auth,
            ],
        )
        .at(&closed),
    ];
    let gateway = Setup::with_services(&services).start().await;
    for target in VARIANTS {
        let (seen, sent) = (guard.received().len(), open.received().len());
        assert_eq!(gateway.get("asked.test", target).await.status(), 200, "H13 {target}");
        let (asked, sent) = (guard.received().split_off(seen), open.received().split_off(sent));
        assert_eq!(asked[0].head.get("x-forwarded-uri"), Some(sent[0].head.word(1)), "H13 {target}");

        let before = open.received().len();
        let answer = gateway.get("shop.test", target).await.status();
        match open.received().get(before) {
            Some(passed) => assert!(!passed.head.word(1).starts_with("/admin"), "H13 {target}: {}", passed.head.start),
            None => assert_eq!(answer, 401, "H13 {target}"),
        }
    }
    assert!(closed.received().is_empty(), "H13: nobody gave a password");
}

#[tokio::test]
async fn nobody_outside_speaks_for_the_gateway() {
    let (upstream, guard) = (Upstream::echo().await, Upstream::start(Behaviour::Status(200)).await);
    let address = format!("forwardauth.address=http://{}/verify", guard.address());
    let services = [
        Service::on_host("shop", "shop.test").at(&upstream),
        with_middleware("user", &[&address, "forwardauth.authresponseheaders=X-Auth-User"]).at(&upstream),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let claims = ["X-Degrade-Level", "X-Sluice-Anything", "X-Replaced-Path", "X-Forwarded-Tls-Client-Cert"];
    for name in claims.into_iter().flat_map(|name| [name.to_owned(), name.replace('-', "_")]) {
        let answer = gateway.send(Request::get("shop.test", "/").header(&name, "evil")).await;
        assert_eq!(answer.json()["headers"].get(name.to_ascii_lowercase()), None, "I6 {name}");
    }
    // What the guard says of the user is the guard's to say.
    for name in ["X-Auth-User", "X_Auth_User", "X-Auth_User"] {
        let answer = gateway.send(Request::get("user.test", "/").header(name, "evil")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json()["headers"].get(name.to_ascii_lowercase()), None, "I6 {name}");
    }
}

#[tokio::test]
async fn credentials_go_to_those_they_were_meant_for() {
    let [main, mirror, told, guard, pages] = [
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
    ];
    let broken = Upstream::start(Behaviour::Status(500)).await;
    let plain = |name: &str| {
        let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
        Service::new(name, &[&rule, &format!("traefik.http.routers.{name}.service={name}")])
    };
    let mirrored = [
        "mirroring.service=main",
        "mirroring.mirrors[0].name=mirror",
        "mirroring.mirrors[0].percent=100",
        "mirroring.mirrors[1].name=told",
        "mirroring.mirrors[1].percent=100",
    ];
    let mirrored = mirrored.iter().fold(
        Service::new(
            "copied",
            &["traefik.http.routers.copied.rule=Host(`copied.test`)", "traefik.http.routers.copied.service=copied"],
        ),
        |service, option| service.tag(&format!("traefik.http.services.copied.{option}")),
    );
    let verify = format!("forwardauth.address=http://{}/verify", guard.address());
    let page = ["errors.status=500", "errors.service=pages", "errors.query=/page"];
    let listed = [&page[..], &["errors.errorrequestheaders=Cookie"]].concat();
    let services = [
        plain("main").at(&main),
        plain("mirror").at(&mirror),
        plain("told").at(&told),
        plain("pages").at(&pages),
        // An instance of its own, which nobody asks.
        mirrored.at_port(9, &[]),
        with_middleware("asked", &[&verify, "forwardauth.authrequestheaders=Cookie"]).at(&main),
        with_middleware("page", &page).at(&broken),
        with_middleware("listed", &listed).at(&broken),
    ];
    let config = "[upstream]\nmirror-credentials = [\"told\"]";
    let gateway = Setup::with_services(&services).config(config).start().await;
    let with_secrets = |host: &str| {
        let request = Request::get(host, "/").header("Authorization", "Bearer secret").header("Cookie", "session=1");
        gateway.send(request.header("X-Other", "kept"))
    };
    let shown = |upstream: &Upstream| {
        let head = upstream.received().pop().expect("a request").head;
        ["authorization", "cookie", "x-other"].map(|name| head.get(name).is_some())
    };
    assert_eq!(with_secrets("copied.test").await.status(), 200);
    assert_eq!(shown(&main), [true, true, true], "I9");
    until("copies arrive", async || mirror.received().len() + told.received().len() == 2).await;
    assert_eq!(shown(&mirror), [false, false, true], "I9: a mirror");
    assert_eq!(shown(&told), [true, true, true], "I9: a mirror that is listed");

    assert_eq!(with_secrets("asked.test").await.status(), 200);
    assert_eq!(shown(&guard), [false, true, false], "I9: only what is listed");
    assert_eq!(with_secrets("page.test").await.status(), 500);
    assert_eq!(shown(&pages), [false, false, true], "I9: an error page");
    assert_eq!(with_secrets("listed.test").await.status(), 500);
    assert_eq!(shown(&pages), [false, true, false], "I9: an error page that wants a header");
}

#[tokio::test]
async fn a_guess_at_a_name_takes_as_long_as_one_at_a_password() {
    const TRIES: usize = 1500;
    let upstream = Upstream::echo().await;
    let service = with_middleware("shop", &[&format!("basicauth.users={ANN}")]).at(&upstream);
    let gateway = Setup::with_services(&[service]).start().await;
    // `ann:wrong` and `bob:wrong`
    let guesses = ["Basic YW5uOndyb25n", "Basic Ym9iOndyb25n"];
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let mut times = [Vec::with_capacity(TRIES), Vec::with_capacity(TRIES)];
    for turn in 0..TRIES {
        // Each goes first as often as the other.
        for which in [turn % 2, 1 - turn % 2] {
            let request = Request::get("shop.test", "/").header("Authorization", guesses[which]);
            let start = Instant::now();
            assert_eq!(request.send_on(&mut wire).await.unwrap().status(), 401, "I10");
            times[which].push(start.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[TRIES / 2].as_secs_f64()
    };
    let [known, unknown] = times;
    let (known, unknown) = (median(&mut { known }), median(&mut { unknown }));
    let difference = (known / unknown - 1.0).abs();
    eprintln!("I10: {:.1} % between a known and an unknown name", difference * 100.0);
    // What is measured is a percent or two; a busy machine adds to it.
    assert!(difference < 0.25, "I10: {known} s and {unknown} s");
    assert!(upstream.received().is_empty());
}
