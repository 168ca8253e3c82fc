//! Bodies pass through as they come, in both directions: nothing waits for their end.

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::{Upstream, answer};
use sluice_tests::wire::Wire;
use tokio::sync::mpsc;

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 512; // 32 MiB in all, far more than sockets and buffers hold

async fn gateway_with(upstream: &Upstream) -> Gateway {
    Setup::with_services(&[Service::on_host("shop", "shop.test").at(upstream)]).start().await
}

fn chunk(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); CHUNK]
}

#[tokio::test]
async fn an_answer_reaches_the_client_before_its_end_exists() {
    // The upstream writes the second half only once the test has seen the first one arrive at the client.
    let (go_on, wait) = mpsc::channel::<()>(1);
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let wait = wait.clone();
        async move {
            wire.read_head().await.unwrap();
            wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            wire.write_chunk(b"first").await.unwrap();
            wait.lock().await.recv().await.unwrap();
            wire.write_chunk(b"last").await.unwrap();
            wire.write_chunk(b"").await.unwrap();
        }
    })
    .await;
    let gateway = gateway_with(&upstream).await;

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get("shop.test", "/").bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!((head.status(), head.get("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(wire.read_chunk().await.unwrap().unwrap(), b"first");
    go_on.send(()).await.unwrap();
    assert_eq!(wire.read_answer_body(&head).await.unwrap(), b"last");
}

#[tokio::test]
async fn a_request_reaches_the_upstream_before_its_end_exists() {
    let (arrived, mut arrivals) = mpsc::channel::<Vec<u8>>(4);
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let arrived = arrived.clone();
        async move {
            wire.read_head().await.unwrap();
            while let Some(chunk) = wire.read_chunk().await.unwrap() {
                arrived.send(chunk).await.unwrap();
            }
            wire.write(answer(200, "done")).await.unwrap();
        }
    })
    .await;
    let gateway = gateway_with(&upstream).await;

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    wire.write_chunk(b"first").await.unwrap();
    assert_eq!(arrivals.recv().await.unwrap(), b"first");
    wire.write_chunk(b"last").await.unwrap();
    wire.write_chunk(b"").await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!(wire.read_answer_body(&head).await.unwrap(), b"done");
    assert_eq!(arrivals.recv().await.unwrap(), b"last");
}

/// Row R12 of `http-strictness.md`.
#[tokio::test]
async fn a_long_answer_arrives_whole_and_is_not_held_in_memory() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        wire.read_head().await.unwrap();
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", CHUNK * CHUNKS)).await.unwrap();
        for number in 0..CHUNKS {
            if wire.write(chunk(number)).await.is_err() {
                return;
            }
        }
    })
    .await;
    let gateway = gateway_with(&upstream).await;
    // What a first body of this size needs once (code, buffers the allocator keeps) is not what is looked for.
    read_long_answer(&mut ask_for_long_answer(&gateway).await).await;
    let before = gateway.resident_bytes();

    let mut wire = ask_for_long_answer(&gateway).await;
    // Nobody reads for a while: the gateway has to stop reading from the upstream rather than pile up.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let held = gateway.resident_bytes().saturating_sub(before);
    // The connection may belong to another worker than the first one did, whose part of the allocator is still small.
    assert!(held < (CHUNK * CHUNKS / 2) as u64, "{held} bytes held for a client that does not read");
    read_long_answer(&mut wire).await;
}

async fn ask_for_long_answer(gateway: &Gateway) -> Wire {
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get("shop.test", "/").bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!(head.get("content-length"), Some((CHUNK * CHUNKS).to_string().as_str()));
    wire
}

async fn read_long_answer(wire: &mut Wire) {
    for number in 0..CHUNKS {
        assert_eq!(wire.read_exactly(CHUNK).await.unwrap(), chunk(number), "chunk {number}");
    }
}

#[tokio::test]
async fn a_long_request_arrives_whole() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        let head = wire.read_head().await.unwrap().unwrap();
        let body = wire.read_request_body(&head).await.unwrap();
        let whole = body.chunks(CHUNK).enumerate().all(|(number, part)| part == chunk(number));
        wire.write(answer(200, &format!("{} {whole}", body.len()))).await.unwrap();
    })
    .await;
    let gateway = gateway_with(&upstream).await;

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("PUT / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    for number in 0..CHUNKS {
        wire.write_chunk(&chunk(number)).await.unwrap();
    }
    wire.write_chunk(b"").await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    let text = String::from_utf8(wire.read_answer_body(&head).await.unwrap()).unwrap();
    assert_eq!(text, format!("{} true", CHUNK * CHUNKS));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_on_as_complete() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        wire.read_head().await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await.unwrap();
    })
    .await;
    let gateway = gateway_with(&upstream).await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get("shop.test", "/").bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert!(wire.read_answer_body(&head).await.is_err(), "the client cannot tell that half is missing");
}

#[tokio::test]
async fn announced_trailers_of_an_answer_are_passed_on() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        wire.read_head().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        wire.write(format!("{head}4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n")).await.unwrap();
    })
    .await;
    let gateway = gateway_with(&upstream).await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let request = Request::get("shop.test", "/").header("TE", "trailers").header("Connection", "TE");
    let answer = request.send_on(&mut wire).await.unwrap();
    assert_eq!(answer.text(), "body");
    let trailers: Vec<_> = wire.trailers().iter().map(|line| line.to_ascii_lowercase()).collect();
    assert_eq!(trailers, ["x-sum: 42"]);
}
