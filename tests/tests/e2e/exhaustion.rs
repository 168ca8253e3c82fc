//! `http-strictness.md` 2e, what makes a server work hard: bombs, many names, patterns that explode.

use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::Upstream;
use sluice_tests::wire::Wire;

/// The middle one of the times that requests take.
async fn median(gateway: &Gateway, request: &Request) -> Duration {
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..41 {
        let start = Instant::now();
        assert_eq!(request.send_on(&mut wire).await.unwrap().status(), 200);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn nothing_is_decompressed() {
    // A head of gzip and then zeros, as the megabytes of a bomb are: whoever opened it would find garbage and refuse.
    let bomb: Vec<u8> = [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"[..], &[0; 100_000]].concat();
    let answer = bomb.clone();
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let answer = answer.clone();
        async move {
            while let Ok(Some(head)) = wire.read_head().await {
                assert_eq!(head.get("content-encoding"), Some("gzip"), "R10");
                assert_eq!(wire.read_request_body(&head).await.unwrap(), answer, "R10");
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", answer.len());
                wire.write([head.as_bytes(), &answer].concat()).await.unwrap();
            }
        }
    })
    .await;
    let tags = [
        "traefik.http.routers.shop.rule=Host(`shop.test`)",
        "traefik.http.routers.shop.middlewares=pack,buffer",
        "traefik.http.middlewares.pack.compress.minresponsebodybytes=1",
        "traefik.http.middlewares.buffer.buffering.memrequestbodybytes=1000",
    ];
    let gateway = Setup::with_services(&[Service::new("shop", &tags).at(&upstream)]).start().await;
    let request = Request::new("POST", "shop.test", "/").header("Content-Encoding", "gzip");
    let answer = gateway.send(request.header("Accept-Encoding", "gzip, br").body(&bomb)).await;
    assert_eq!((answer.status(), answer.head.all("content-encoding")), (200, vec!["gzip"]), "R10");
    assert!(answer.body == bomb, "R10: it is passed on as it is");
}

#[tokio::test]
async fn many_names_take_no_more_than_their_share() {
    let upstream = Upstream::echo().await;
    let rule = "traefik.http.routers.shop.rule=Host(`shop.test`) && !Query(`p1`, `z`) && !QueryRegexp(`p2`, `^z+$`) \
                && !HeaderRegexp(`X-H1`, `^z+$`)";
    let tags = [
        rule,
        "traefik.http.services.shop.loadbalancer.sticky.cookie.name=sid",
        "traefik.http.routers.shop.middlewares=limit",
        "traefik.http.middlewares.limit.ratelimit.average=1000000",
        "traefik.http.middlewares.limit.ratelimit.burst=1000000",
        "traefik.http.middlewares.limit.ratelimit.sourcecriterion.requestheadername=X-H1",
    ];
    let gateway = Setup::with_services(&[Service::new("shop", &tags).at(&upstream).at(&upstream)]).start().await;
    let headers = |count: usize| {
        (0..count).fold(Request::get("shop.test", "/"), |request, number| request.header(&format!("X-H{number}"), "v"))
    };
    let listed =
        |count: usize, between: &str| (0..count).map(|number| format!("p{number}=v")).collect::<Vec<_>>().join(between);
    let query = |count| Request::get("shop.test", &format!("/?{}", listed(count, "&")));
    let cookies = |count| Request::get("shop.test", "/").header("Cookie", &listed(count, "; "));
    let kinds: [(&str, [Request; 2]); 3] = [
        ("headers", [headers(24), headers(96)]),
        ("parameters", [query(240), query(960)]),
        ("cookies", [cookies(500), cookies(2000)]),
    ];
    for (kind, [few, many]) in &kinds {
        let (few, many) = (median(&gateway, few).await, median(&gateway, many).await);
        // Four times as many; what grew with the square would take sixteen times as long.
        assert!(many < 8 * few + Duration::from_millis(2), "R15 {kind}: {few:?}, and four times as many {many:?}");
    }
}

#[tokio::test]
async fn patterns_take_no_longer_than_what_they_are_matched_with() {
    let upstream = Upstream::echo().await;
    let service = |name: &str, rule: &str| Service::new(name, &[&format!("traefik.http.routers.{name}.rule={rule}")]);
    let services = [
        service("path", "Host(`shop.test`) && PathRegexp(`^/(a+)+$`)").at(&upstream),
        service("header", "Host(`shop.test`) && HeaderRegexp(`X-A`, `^(([a-z])+.)+[A-Z]([a-z])+$`)").at(&upstream),
        service("rest", "Host(`shop.test`)").at(&upstream),
        service("huge", "Host(`huge.test`) && PathRegexp(`((a{1000}){1000}){1000}`)").at(&upstream),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let hostile = "a".repeat(8000);
    let request = Request::get("shop.test", &format!("/{hostile}!")).header("X-A", &hostile);
    let start = Instant::now();
    assert_eq!(gateway.send(request).await.status(), 200, "R16");
    assert!(start.elapsed() < Duration::from_secs(2), "R16: {:?}", start.elapsed());
    assert_eq!(gateway.get("huge.test", "/a").await.status(), 404, "R16");
    let router = gateway.api("/api/http/routers/huge@file").await.to_string();
    assert!(router.contains("size limit") || router.contains("too big") || router.contains("large"), "R16: {router}");
}

#[tokio::test]
async fn a_connection_at_rest_needs_little() {
    const CONNECTIONS: u64 = 1500;
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let request = Request::get("shop.test", "/");
    // What is needed once is not what is looked for.
    for _ in 0..50 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    let before = gateway.resident_bytes();
    let mut resting = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        assert_eq!(request.send_on(&mut wire).await.unwrap().status(), 200);
        resting.push(wire);
    }
    let each = gateway.resident_bytes().saturating_sub(before) / CONNECTIONS;
    eprintln!("R11: {} KiB for a connection at rest, {} MiB for 10,000", each >> 10, (each * 10_000) >> 20);
    assert!(each * 10_000 < (200 << 20), "R11: {each} bytes for each");
}
