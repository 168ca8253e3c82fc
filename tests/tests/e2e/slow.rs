//! `http-strictness.md` 2e: clients that are slow, that send too much, or that do not read. All at once on one gateway,
//! whose limits are short.

use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::{Upstream, answer};
use sluice_tests::wire::Wire;

const LIMITS: &str = "[entrypoints.web.timeouts]\nheader = \"1s\"\nkeep-alive = \"3s\"\nbody-idle = \"2s\"\nsend-idle = \"1s\"\n\
                      [entrypoints.web.limits]\nbody-bytes = 1000000\nkeep-alive-requests = 3";

/// The limits are late by up to two turns of the wheel, and the machine may be busy.
const LATE: Duration = Duration::from_secs(3);

struct Stage {
    gateway: Gateway,
    upstream: Upstream,
}

/// Sends the pieces with pauses; the status of the answer, if one comes, and when the connection was closed.
async fn drip(stage: &Stage, pieces: &[&str], pause: Duration) -> (Option<u16>, Duration) {
    let start = Instant::now();
    let mut wire = Wire::connect(stage.gateway.web()).await.unwrap();
    let mut status = None;
    for piece in pieces {
        if wire.write(piece).await.is_err() {
            break;
        }
        if let Ok(answered) = tokio::time::timeout(pause, wire.read_head()).await {
            status = answered.ok().flatten().map(|head| head.status());
            break;
        }
    }
    if status.is_none() {
        status = wire.read_head().await.ok().flatten().map(|head| head.status());
    }
    // Whatever is left of the answer, up to the close.
    while wire.read_exactly(1).await.is_ok() {}
    (status, start.elapsed())
}

fn assert_between(id: &str, (status, closed): (Option<u16>, Duration), expected: Option<u16>, limit: Duration) {
    assert_eq!(status, expected, "{id}");
    assert!(closed >= limit && closed < limit + LATE, "{id}: closed after {closed:?}, not {limit:?}");
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config(LIMITS).start().await;
    let stage = Stage { gateway, upstream };
    let second = Duration::from_secs(1);
    let pause = Duration::from_millis(300);
    let head = "GET / HTTP/1.1\r\nHost: shop.test\r\n";
    let dripped: Vec<String> = head.chars().map(String::from).collect();
    let dripped: Vec<&str> = dripped.iter().map(String::as_str).collect();
    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 900000\r\n\r\n";
    let body: Vec<&str> = std::iter::once(post).chain(std::iter::repeat_n("x", 60)).collect();
    let whole = format!("{head}\r\n");
    let (some, once) = ([post, "some"], [whole.as_str()]);
    let (silent, one_byte, preface, slow_head, stalled, slow_body, idle, partial) = tokio::join!(
        drip(&stage, &[], pause),
        drip(&stage, &["G"], pause),
        drip(&stage, &["PRI * HTTP/2.0\r\n\r\nSM"], pause),
        drip(&stage, &dripped, pause),
        drip(&stage, &some, pause),
        drip(&stage, &body, Duration::from_millis(500)),
        drip(&stage, &once, pause),
        drip(&stage, &["GET / HTTP/1.1\r\nHost: shop.test\r\nX-Half: ye"], pause),
    );
    assert_between("R1", silent, None, second);
    // The first byte has come, so the head is awaited; nobody said that it is HTTP.
    assert_between("R2", one_byte, Some(408), second);
    assert_between("R2", preface, None, second);
    assert_between("R3", slow_head, Some(408), second);
    assert_between("R3", partial, Some(408), second);
    assert_between("R4", stalled, Some(408), 2 * second);
    assert_between("R5", slow_body, Some(408), 10 * second);
    assert_between("R6", idle, Some(200), 3 * second);

    let metrics = Request::get("admin", "/metrics").send(stage.gateway.admin()).await.text();
    for reason in ["first_byte_timeout", "header_timeout", "body_timeout"] {
        assert!(metrics.contains(&format!("sluice_rejected_total{{reason=\"{reason}\"}}")), "{metrics}");
    }
    assert_eq!(stage.upstream.received().len(), 1, "only R6 was a whole request");
}

#[tokio::test]
async fn large_bodies_are_cut_off() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config(LIMITS).start().await;
    let declared = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000001\r\n\r\n";
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(declared).await.unwrap();
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 413, "R9");
    assert_eq!(upstream.connections(), 0, "R9: before the upstream is connected");

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    for _ in 0..11 {
        // The gateway may have answered already.
        if wire.write_chunk(&[b'x'; 100_000]).await.is_err() {
            break;
        }
    }
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 413, "R9");
    assert!(upstream.received().is_empty(), "R9: the upstream never sees the end of it");

    let metrics = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    assert!(metrics.contains("sluice_rejected_total{reason=\"body_too_large\"} 2"), "R9: {metrics}");

    // Keep-alive ends with the third request.
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let mut closing = Vec::new();
    for _ in 0..3 {
        let answer = Request::get("shop.test", "/").send_on(&mut wire).await.unwrap();
        closing.push(answer.head.get("connection") == Some("close"));
    }
    assert_eq!(closing, [false, false, true]);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let ended = ended.clone();
        async move {
            wire.read_head().await.unwrap();
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 30)).await.unwrap();
            while wire.write([b'x'; 65536]).await.is_ok() {}
            ended.send(()).await.unwrap();
        }
    })
    .await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config(LIMITS).start().await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get("shop.test", "/").bytes()).await.unwrap();
    let limit = Duration::from_secs(1) + LATE + LATE;
    tokio::time::timeout(limit, end.recv()).await.expect("the upstream is let go").unwrap();
    let metrics = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    assert!(metrics.contains("sluice_rejected_total{reason=\"send_timeout\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_truncated_request_never_looks_complete() {
    let (broken, mut breaks) = tokio::sync::mpsc::channel(4);
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let broken = broken.clone();
        async move {
            let head = wire.read_head().await.unwrap().unwrap();
            broken.send(wire.read_request_body(&head).await.is_err()).await.unwrap();
        }
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    for framed in [
        "Content-Length: 9\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        wire.write(format!("POST / HTTP/1.1\r\nHost: shop.test\r\n{framed}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(wire);
        assert!(breaks.recv().await.unwrap(), "F28 {framed:?}");
    }
    assert_eq!(upstream.connections(), 3, "F28: none of the connections was used again");
}

#[tokio::test]
async fn an_answer_before_the_body_ends_the_connection() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    // Nobody asked for the body, so what follows the head may be the body or, for a client that gave up, a request.
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let expecting = "POST / HTTP/1.1\r\nHost: none.test\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n";
    wire.write(expecting).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!((head.status(), head.get("connection")), (404, Some("close")), "F23");
    // With a body the upstream asks for, the client is told to go on.
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(expecting.replace("none", "shop").replace("40", "3")).await.unwrap();
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 100, "F23");
    wire.write("abc").await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!(head.status(), 200);
    let received = &upstream.received()[0];
    assert_eq!((received.body.as_slice(), received.head.get("expect")), (b"abc".as_slice(), None), "F23");
}

#[tokio::test]
async fn a_refusal_waits_for_the_answers_before_it() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        wire.read_head().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        wire.write(answer(200, "first")).await.unwrap();
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write([&Request::get("shop.test", "/").bytes()[..], b"GET /\n\n\n".as_slice(), &[b'x'; 100_000]].concat())
        .await
        .unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!((head.status(), wire.read_answer_body(&head).await.unwrap().as_slice()), (200, b"first".as_slice()));
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 400);
}

#[tokio::test]
async fn a_handshake_that_stands_still_is_cut_off() {
    let upstream = Upstream::echo().await;
    let secure = sluice_tests::process::free_address();
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)])
        .config(&format!(
            "[entrypoints.secure]\naddress = \"{secure}\"\ntls = {{}}\ntimeouts = {{ tls-handshake = \"1s\" }}"
        ))
        .start()
        .await;
    let start = Instant::now();
    let mut wire = Wire::connect(secure).await.unwrap();
    // The first bytes of a ClientHello that says it is longer, and then one at a time.
    let _ = wire.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if wire.write(b"\0").await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(1) + LATE, dripping).await.expect("R7: it is closed");
    assert!(start.elapsed() >= Duration::from_secs(1), "R7: {:?}", start.elapsed());
    let metrics = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    assert!(metrics.contains("sluice_rejected_total{reason=\"tls-timeout\"} 1"), "{metrics}");
}

#[tokio::test]
async fn an_upload_to_an_upstream_that_does_not_read_is_not_held_in_memory() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        wire.read_head().await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    // What a first upload needs once (buffers the allocator keeps) is not what is looked for.
    upload_until_it_stalls(&gateway).await;
    let before = gateway.resident_bytes();
    let _open = upload_until_it_stalls(&gateway).await;
    let held = gateway.resident_bytes().saturating_sub(before);
    // Far less than what the client got rid of, far more than what a worker's part of the allocator takes at first.
    assert!(held < 32 << 20, "R13: {held} bytes held");
}

async fn upload_until_it_stalls(gateway: &Gateway) -> Wire {
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n", 1 << 30)).await.unwrap();
    let upload = async {
        loop {
            wire.write([b'x'; 65536]).await.unwrap();
        }
    };
    let never: Result<(), _> = tokio::time::timeout(Duration::from_millis(1500), upload).await;
    assert!(never.is_err());
    wire
}
