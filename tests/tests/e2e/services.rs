//! Strategies, cookies, limits, and services that are put together from others.

use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::{Answer, Request};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};

/// A service in the v3 dialect that answers for `NAME.test`, with options of its load balancer.
fn v3(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
    let service = Service::new(name, &[&rule, &format!("traefik.http.routers.{name}.service={name}")]);
    options
        .iter()
        .fold(service, |service, option| service.tag(&format!("traefik.http.services.{name}.loadbalancer.{option}")))
}

/// A router without instances of its own to a service of these options, on an instance nobody asks.
fn composite(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
    let service = Service::new(name, &[&rule, &format!("traefik.http.routers.{name}.service={name}")]);
    let service =
        options.iter().fold(service, |service, option| service.tag(&format!("traefik.http.services.{name}.{option}")));
    service.at_port(9, &[])
}

async fn gets(gateway: &Gateway, host: &str, count: usize) {
    for number in 0..count {
        assert_eq!(gateway.get(host, "/").await.status(), 200, "request {number} to {host}");
    }
}

fn cookie(answer: &Answer) -> Option<(String, String)> {
    let line = answer.head.get("set-cookie")?;
    let (name, rest) = line.split_once('=')?;
    Some((name.to_owned(), rest.split(';').next()?.to_owned()))
}

#[tokio::test]
async fn every_strategy_answers_and_hashes_keep_to_one_instance() {
    let (one, two, three) = (Upstream::echo().await, Upstream::echo().await, Upstream::echo().await);
    let names = ["wrr", "drr", "p2c", "leasttime", "peakewma", "hrw", "maglev"];
    let services: Vec<_> =
        names.iter().map(|name| v3(name, &[&format!("strategy={name}")]).at(&one).at(&two).at(&three)).collect();
    let gateway = Setup::with_services(&services).start().await;
    let counts = || [&one, &two, &three].map(|upstream| upstream.received().len());
    for name in names {
        let before = counts();
        gets(&gateway, &format!("{name}.test"), 12).await;
        let mut more: Vec<_> = counts().iter().zip(before).map(|(after, before)| after - before).collect();
        more.sort_unstable();
        match name {
            "wrr" | "drr" => assert_eq!(more, [4, 4, 4], "{name}"),
            "hrw" | "maglev" => assert_eq!(more, [0, 0, 12], "{name}"),
            _ => assert_eq!(more.iter().sum::<usize>(), 12, "{name}"),
        }
    }
    let shown = gateway.api("/api/http/services/p2c@file").await;
    assert_eq!((&shown["strategy"], &shown["type"]), (&"p2c".into(), &"loadbalancer".into()));
}

#[tokio::test]
async fn cookies_bind_clients_to_instances_in_both_dialects() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let v1 = Service::on_host("old", "old.test").tag("traefik.backend.loadbalancer.stickiness=true");
    let modern = v3("new", &["sticky.cookie.httponly=true", "sticky.cookie.samesite=lax"]);
    let services = [v1.at(&one).at(&two), modern.at(&one).at(&two), v3("none", &["sticky=true"]).at(&one)];
    let gateway = Setup::with_services(&services).start().await;
    let with =
        async |host: &str, cookie: &str| Request::get(host, "/").header("Cookie", cookie).send(gateway.web()).await;
    let urls = [&one, &two].map(|upstream| format!("http://127.0.0.1:{}", upstream.port()));

    let first = gateway.get("old.test", "/").await;
    let (name, value) = cookie(&first).expect("a cookie");
    assert!(name.starts_with('_') && name.len() == 6 && urls.contains(&value), "{name}={value}");
    assert!(first.head.get("set-cookie").unwrap().ends_with("; Path=/"));
    for (upstream, url) in [&one, &two].into_iter().zip(&urls) {
        let before = upstream.received().len();
        for _ in 0..4 {
            let answer = with("old.test", &format!("a=b; {name}={url}")).await;
            assert_eq!((answer.status(), cookie(&answer)), (200, None), "the client keeps its instance");
        }
        assert_eq!(upstream.received().len(), before + 4);
    }
    let moved = with("old.test", &format!("{name}=http://10.9.9.9:1")).await;
    assert!(cookie(&moved).is_some_and(|(again, value)| again == name && urls.contains(&value)));

    let first = gateway.get("new.test", "/").await;
    let (name, value) = cookie(&first).expect("a cookie");
    assert!(value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
    assert!(first.head.get("set-cookie").unwrap().ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    assert_eq!(cookie(&with("new.test", &format!("{name}={value}")).await), None);
    let old_spelling = with("new.test", &format!("{name}={}", urls[0])).await;
    let rewritten = cookie(&old_spelling).expect("it is rewritten").1;
    assert_eq!(rewritten.len(), 16);
    assert_eq!(cookie(&gateway.get("none.test", "/").await), None, "as in Traefik");
}

#[tokio::test]
async fn limits_let_some_wait_and_refuse_the_rest() {
    let slow = Upstream::start(Behaviour::Slow(Duration::from_millis(400))).await;
    let service = v3("busy", &["maxrequests=1", "queue.size=1", "queue.timeout=10s"]).at(&slow);
    let gateway = Setup::with_services(&[service]).start().await;
    let (a, b, c) =
        tokio::join!(gateway.get("busy.test", "/"), gateway.get("busy.test", "/"), gateway.get("busy.test", "/"));
    let mut statuses = [a.status(), b.status(), c.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503], "one is served, one waits, one is refused");
    assert_eq!(slow.received().len(), 2);
    gets(&gateway, "busy.test", 1).await;
}

#[tokio::test]
async fn targets_may_have_a_path_of_their_own() {
    let upstream = Upstream::echo().await;
    let url = format!("http://127.0.0.1:{}/api/", upstream.port());
    let kept = v3("kept", &[&format!("server.url={url}"), "server.preservepath=true", "passhostheader=false"]);
    let plain = v3("plain", &[&format!("server.url={url}")]);
    let gateway = Setup::with_services(&[kept.at_port(9, &[]), plain.at_port(9, &[])]).start().await;
    let seen = gateway.get("kept.test", "/x?y=1").await.json();
    assert_eq!(seen["uri"], "/api/x?y=1");
    assert_eq!(seen["host"], format!("127.0.0.1:{}", upstream.port()));
    assert_eq!(gateway.get("plain.test", "/x").await.json()["uri"], "/x");
}

#[tokio::test]
async fn services_are_put_together_from_services() {
    let (a, b, c) = (Upstream::echo().await, Upstream::echo().await, Upstream::echo().await);
    let gone = free_address().port();
    let services = [
        v3("a", &[]).at(&a),
        v3("b", &[]).at(&b),
        v3("c", &["passhostheader=true"])
            .at(&c)
            .tag("traefik.http.services.c.middlewares=pre")
            .tag("traefik.http.middlewares.pre.addprefix.prefix=/c"),
        v3("gone", &["healthcheck.mode=tcp", "healthcheck.interval=50ms", "healthcheck.failures=1"]).at_port(gone, &[]),
        composite(
            "mix",
            &["weighted.services[0].name=a", "weighted.services[0].weight=3", "weighted.services[1].name=b@file"],
        ),
        composite("hash", &["highestrandomweight.services[0].name=a", "highestrandomweight.services[1].name=b"]),
        composite(
            "stick",
            &["weighted.services[0].name=a", "weighted.services[1].name=b", "weighted.sticky.cookie.name=half"],
        ),
        composite("over", &["failover.service=gone", "failover.fallback=nest"]),
        composite("nest", &["weighted.services[0].name=c"]),
        composite("loop", &["weighted.services[0].name=pool"]),
        composite("pool", &["failover.service=loop", "failover.fallback=a"]),
    ];
    let gateway = Setup::with_services(&services).start().await;

    gets(&gateway, "mix.test", 8).await;
    assert_eq!((a.received().len(), b.received().len()), (6, 2));
    gets(&gateway, "hash.test", 5).await;
    assert!([(11, 2), (6, 7)].contains(&(a.received().len(), b.received().len())), "a client stays with one part");
    let first = gateway.get("stick.test", "/").await;
    let (name, value) = cookie(&first).expect("a cookie");
    assert_eq!(name, "half");
    let again = Request::get("stick.test", "/").header("Cookie", &format!("half={value}")).send(gateway.web()).await;
    assert_eq!((cookie(&again), &again.json()["host"]), (None, &"stick.test".into()));

    until("the check finds nobody there", async || {
        gateway.api("/api/http/services/gone@file").await["serverStatus"].to_string().contains("DOWN")
    })
    .await;
    let seen = gateway.get("over.test", "/x").await.json();
    assert_eq!(seen["uri"], "/c/x", "the fallback of a fallback, through the steps of its service");
    assert_eq!(c.received().len(), 1);
    assert_eq!(gateway.get("c.test", "/y").await.json()["uri"], "/c/y", "and where a route names it");

    assert_eq!(gateway.get("loop.test", "/").await.status(), 404);
    let shown = gateway.api("/api/http/services/loop@file").await;
    assert_eq!(shown["status"], "disabled");
    assert!(shown["error"][0].as_str().unwrap().contains("contains itself"), "{shown}");
}

#[tokio::test]
async fn answers_of_some_statuses_are_replaced_by_the_fallbacks() {
    let (main, fallback) = (Upstream::start(Behaviour::Status(502)).await, Upstream::echo().await);
    let services = [
        v3("main", &[]).at(&main),
        v3("back", &[]).at(&fallback),
        composite(
            "over",
            &[
                "failover.service=main",
                "failover.fallback=back",
                "failover.errors.status=500-599",
                "failover.errors.maxrequestbodybytes=10",
            ],
        ),
        v3("closed", &["passhostheader=true"]).at_port(free_address().port(), &[]),
        composite("lost", &["failover.service=closed", "failover.fallback=back", "failover.errors.status=502"]),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let post = |body: &[u8]| gateway.send(Request::new("POST", "over.test", "/x").body(body));
    let seen = post(b"short").await;
    assert_eq!((seen.status(), &seen.json()["body"]), (200, &"short".into()));
    assert_eq!(post(b"longer than ten").await.status(), 502, "it cannot be sent again");
    assert_eq!((main.received().len(), fallback.received().len()), (2, 1));
    main.turn_into(Behaviour::Status(404));
    assert_eq!(post(b"short").await.status(), 404, "only those listed");
    assert_eq!(gateway.get("lost.test", "/x").await.status(), 200, "nobody listens at the main one");
}

#[tokio::test]
async fn mirrors_get_copies_and_never_delay_or_fail_the_client() {
    let (main, mirror) = (Upstream::echo().await, Upstream::start(Behaviour::Slow(Duration::from_secs(2))).await);
    let services = [
        v3("main", &[]).at(&main),
        v3("mirror", &[]).at(&mirror),
        v3("dead", &[]).at_port(free_address().port(), &[]),
        composite(
            "copied",
            &[
                "mirroring.service=main",
                "mirroring.mirrors[0].name=mirror",
                "mirroring.mirrors[0].percent=50",
                "mirroring.mirrors[1].name=dead",
                "mirroring.mirrors[1].percent=100",
                "mirroring.maxbodysize=8",
            ],
        ),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let start = Instant::now();
    for _ in 0..4 {
        let answer = gateway.send(Request::new("POST", "copied.test", "/x?y=1").body(b"body")).await;
        assert_eq!((answer.status(), &answer.json()["body"]), (200, &"body".into()));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "nobody waits for a mirror");
    until("the mirror has its copies", async || mirror.received().len() == 2).await;
    let copy = mirror.received().remove(0);
    assert_eq!((copy.head.word(0), copy.head.word(1), &copy.body[..]), ("POST", "/x?y=1", &b"body"[..]));
    assert_eq!(copy.head.get("host"), Some("copied.test"));
    for _ in 0..4 {
        assert_eq!(gateway.send(Request::new("POST", "copied.test", "/").body(b"too long for it")).await.status(), 200);
    }
    assert_eq!((main.received().len(), mirror.received().len()), (8, 2), "long bodies are not copied");
}

#[tokio::test]
async fn instances_are_spoken_to_over_http2_and_tls() {
    let upstream = Upstream::echo().await;
    // A gateway is a server of all kinds: plain HTTP/2, and TLS with a certificate of its own making.
    let secure = free_address();
    let inner = Setup::with_services(&[Service::on_host("in", "in.test").at(&upstream)])
        .config(&format!("[entrypoints.secure]\naddress = \"{secure}\"\ntls = {{}}"))
        .start()
        .await;
    let own = |name: &str, options: &[&str]| {
        let host = format!("traefik.http.routers.{name}.rule=Host(`in.test`) && Path(`/{name}`)");
        v3(name, options).tag(&host)
    };
    let services = [
        own("h2c", &["server.scheme=h2c"]).at_port(inner.web().port(), &[]),
        own("tls", &["server.scheme=https", "serverstransport=lax@file"]).at_port(secure.port(), &[]),
        own("strict", &["server.scheme=https"]).at_port(secure.port(), &[]),
        own("named", &["server.scheme=https", "serverstransport=nowhere"]).at_port(secure.port(), &[]),
    ];
    let transport = "[transports.lax]\ninsecure-skip-verify = true\nserver-name = \"in.test\"";
    let gateway = Setup::with_services(&services).config(transport).start().await;
    for path in ["/h2c", "/tls"] {
        let answer = gateway.send(Request::new("POST", "in.test", path).body(b"over")).await;
        assert_eq!((answer.status(), &answer.json()["body"]), (200, &"over".into()), "{path}");
    }
    assert_eq!(gateway.get("in.test", "/strict").await.status(), 500, "nobody vouches for that certificate");
    assert_eq!(gateway.get("in.test", "/named").await.status(), 404);
    let shown = gateway.api("/api/http/services/named@file").await;
    assert!(shown["error"][0].as_str().unwrap().contains("`nowhere`"), "{shown}");
}

#[tokio::test]
async fn connections_to_instances_that_are_gone_are_closed() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let leaving = Upstream::custom(move |mut wire: sluice_tests::wire::Wire| {
        let count = Arc::clone(&count);
        async move {
            while let Ok(Some(_)) = wire.read_head().await {
                let _ = wire.write(sluice_tests::upstream::answer(200, "{}")).await;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let staying = Upstream::echo().await;
    let gateway = Setup::with_services(&[v3("web", &[]).at(&staying).at(&leaving)]).start().await;
    gets(&gateway, "web.test", 8).await;
    assert_eq!((leaving.connections() > 0, closed.load(Ordering::Relaxed)), (true, 0));
    gateway.catalog().replace(&[v3("web", &[]).at(&staying)]);
    until("its connections are closed", async || closed.load(Ordering::Relaxed) == leaving.connections()).await;
    gets(&gateway, "web.test", 4).await;
}
