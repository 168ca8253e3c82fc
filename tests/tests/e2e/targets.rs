//! What policies have to do with others: services that stand in, servers that are asked, calls that fail inside a 200.

use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::Setup;
use sluice_tests::process::free_address;
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

/// Longer than any test waits for an answer.
const FOREVER: Duration = Duration::from_secs(600);

/// A service at `NAME.test` with a middleware of these options.
fn with(name: &str, options: &[&str]) -> Service {
    let service = Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")])
        .tag(&format!("traefik.http.routers.{name}.middlewares={name}"));
    options.iter().fold(service, |service, option| service.tag(&format!("traefik.http.middlewares.{name}.{option}")))
}

#[tokio::test]
async fn a_stand_in_that_takes_too_long_is_not_waited_for() {
    let broken = Upstream::start(Behaviour::Status(500)).await;
    let stuck = Upstream::start(Behaviour::Slow(FOREVER)).await;
    let degrade = ["plugin.degrade.status=500", "plugin.degrade.service=stuck", "plugin.degrade.timeout=200ms"];
    let services = [
        Service::on_host("stuck", "stuck.test").at(&stuck),
        with("after", &degrade).at(&broken),
        // From the first level on, before anybody is asked.
        with("before", &[&degrade[..], &["plugin.degrade.level=1"]].concat()).at(&broken),
    ];
    let gateway = Setup::with_services(&services).start().await;
    for (host, status) in [("after.test", 500), ("before.test", 504)] {
        let begun = Instant::now();
        let answer = gateway.get(host, "/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, "Gateway Timeout"), "{host}");
        assert!(begun.elapsed() >= Duration::from_millis(200), "{host}");
    }
    assert_eq!(stuck.received().len(), 2, "both were asked");
}

#[tokio::test]
async fn a_stand_in_that_fails_leaves_the_reply_and_its_place() {
    let broken = Upstream::start(Behaviour::Status(500)).await;
    let stuck = Upstream::start(Behaviour::Slow(FOREVER)).await;
    let page = Upstream::start(Behaviour::Status(503)).await;
    let degrade = |service: &str| {
        [
            "plugin.degrade.status=500".to_owned(),
            "plugin.degrade.reply.body=sorry {status}".to_owned(),
            "plugin.degrade.timeout=100ms".to_owned(),
            "plugin.degrade.cap=1".to_owned(),
            format!("plugin.degrade.service={service}"),
        ]
    };
    let made = |name: &str, service: &str, level: &[&str]| {
        let options = degrade(service);
        with(name, &[&options.each_ref().map(String::as_str)[..], level].concat()).at(&broken)
    };
    let before = ["plugin.degrade.level=1"];
    let services = [
        Service::on_host("stuck", "stuck.test").at(&stuck),
        Service::on_host("page", "page.test").at(&page),
        Service::on_host("nobody", "nobody.test").at_port(free_address().port(), &[]),
        made("after", "stuck", &[]),
        made("before", "stuck", &before),
        made("unreached", "nobody", &before),
        made("paged", "page", &before),
    ];
    let gateway = Setup::with_services(&services).start().await;
    // Twice, because the first one has to leave the only place there is.
    for _ in 0..2 {
        for (host, status, text) in
            [("after.test", 500, "sorry 500"), ("before.test", 503, "sorry 503"), ("unreached.test", 503, "sorry 503")]
        {
            let answer = gateway.get(host, "/").await;
            assert_eq!((answer.status(), answer.text().as_str()), (status, text), "{host}");
        }
        let answer = gateway.get("paged.test", "/").await;
        assert_eq!(answer.status(), 503);
        assert!(!answer.text().contains("sorry"), "its own page is shown: {}", answer.text());
    }
    assert_eq!((stuck.received().len(), page.received().len()), (4, 2), "they were asked each time");
}

#[tokio::test]
async fn an_authentication_server_is_shown_short_bodies_and_may_speak_tls() {
    let (echo, guard, secure) = (Upstream::echo().await, Upstream::echo().await, free_address());
    let inner = Setup::with_services(&[Service::new("guard", &["traefik.frontend.rule=PathPrefix:/"]).at(&guard)])
        .config(&format!("[entrypoints.secure]\naddress = \"{secure}\"\ntls = {{}}"));
    let _inner = inner.start().await;
    let plain = format!("forwardauth.address=http://{}/verify", guard.address());
    let own = format!("plugin.forward-auth.address=https://{secure}/verify");
    let tagged = format!("forwardauth.address=https://{secure}/verify");
    let services = [
        with("body", &[&plain, "forwardauth.forwardbody=true", "forwardauth.maxbodysize=10"]).at(&echo),
        with("inner", &[&own, "plugin.forward-auth.transport=lax"]).at(&echo),
        with("strict", &[&own]).at(&echo),
        with("tagged", &[&tagged, "forwardauth.tls.insecureskipverify=true"]).at(&echo),
        with("undeclared", &[&tagged, "forwardauth.tls.ca=/etc/passwd"]).at(&echo),
        with("nowhere", &[&own, "plugin.forward-auth.transport=nowhere"]).at(&echo),
    ];
    let transport = "[transports.lax]\ninsecure-skip-verify = true\nserver-name = \"in.test\"";
    let gateway = Setup::with_services(&services).config(transport).start().await;
    let posted = async |body: &[u8]| gateway.send(Request::new("POST", "body.test", "/").body(body)).await.status();
    assert_eq!((posted(b"ten bytes!").await, posted(b"eleven byte").await), (200, 401));
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("POST / HTTP/1.1\r\nhost: body.test\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    for piece in [&b"six by"[..], &b"tes"[..], &b"more"[..], &b""[..]] {
        wire.write_chunk(piece).await.ok();
    }
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 401);
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("POST / HTTP/1.1\r\nhost: body.test\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    for piece in [&b"six"[..], &b"by"[..], &b""[..]] {
        wire.write_chunk(piece).await.unwrap();
    }
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 200);
    assert_eq!(gateway.get("body.test", "/").await.status(), 200);
    let shown: Vec<_> = guard.received().iter().map(|request| request.body.len()).collect();
    assert_eq!(shown, [10, 5, 0], "no longer one was shown, and the server was asked once for each");

    let status = async |host: &str| gateway.get(host, "/").await.status();
    assert_eq!((status("inner.test").await, status("strict.test").await), (200, 500));
    assert_eq!((status("tagged.test").await, status("undeclared.test").await), (200, 404));
    assert_eq!(status("nowhere.test").await, 500, "there is no such transport");
}

#[tokio::test]
async fn a_breaker_opens_by_what_grpc_calls_answer() {
    let head =
        Upstream::start(Behaviour::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ngrpc-status: 14\r\n\r\n")).await;
    let trailers: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n\
                            2\r\nhi\r\n0\r\ngrpc-status: 14\r\n\r\n";
    let trailers = Upstream::start(Behaviour::Raw(trailers)).await;
    let breaker = |codes: &str| {
        ["mode=consecutive".to_owned(), "threshold=1".to_owned(), format!("grpc-failures={codes}")]
            .map(|option| format!("plugin.circuit-breaker.{option}"))
    };
    let with = |name: &str, codes: &str| with(name, &breaker(codes).each_ref().map(String::as_str));
    let services = [
        with("head", "UNAVAILABLE").at(&head),
        with("trailers", "UNAVAILABLE").at(&trailers),
        with("other", "INTERNAL").at(&trailers),
    ];
    let gateway = Setup::with_services(&services).start().await;
    for host in ["head.test", "trailers.test"] {
        assert_eq!(gateway.get(host, "/").await.status(), 200, "{host}");
        until(&format!("the breaker of {host} is open"), async || gateway.get(host, "/").await.status() == 503).await;
    }
    for _ in 0..3 {
        assert_eq!(gateway.get("other.test", "/").await.status(), 200);
    }
}
