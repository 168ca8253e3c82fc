//! `http-strictness.md` 2f, a case for each row: upstreams that break the protocol. One gateway, a service for each.

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::Upstream;
use sluice_tests::wire::{Head, Wire};

/// What the client gets.
enum Gets {
    /// This status and this body.
    Answer(u16, &'static str),
    /// A head, and then a body that breaks off.
    Broken,
}
use Gets::{Answer, Broken};

/// What becomes of the connection to the upstream.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Then {
    Kept,
    Discarded,
}
use Then::{Discarded, Kept};

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}")
}

fn rows() -> Vec<(&'static str, String, Gets, Then)> {
    let fine = ok("Content-Length: 3\r\n", "abc");
    let bad = |id, bytes: &str| (id, bytes.to_owned(), Answer(502, "Bad Gateway"), Discarded);
    vec![
        ("-", fine.clone(), Answer(200, "abc"), Kept),
        (
            "U1",
            ok("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            Answer(200, "abc"),
            Discarded,
        ),
        bad("U2", &ok("Content-Length: 3\r\nContent-Length: 4\r\n", "abc")),
        bad("U2", &ok("Content-Length: +3\r\n", "abc")),
        bad("U2", "HTTP/1.1 99 Odd\r\nContent-Length: 3\r\n\r\nabc"),
        bad("U2", "HTTP/1.1 2OO Odd\r\nContent-Length: 3\r\n\r\nabc"),
        bad("U2", &ok("X: a\0b\r\nContent-Length: 3\r\n", "abc")),
        bad("U2", &ok("X: a\rb\r\nContent-Length: 3\r\n", "abc")),
        bad("U2", &ok("X y: a\r\nContent-Length: 3\r\n", "abc")),
        (
            "U3",
            ok("Content-Length: 3\r\n", "abcHTTP/1.1 200 POISON\r\nContent-Length: 0\r\n\r\n"),
            Answer(200, "abc"),
            Discarded,
        ),
        ("U4", "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\nabc".to_owned(), Answer(204, ""), Discarded),
        ("U4", "HTTP/1.1 304 Same\r\nETag: x\r\n\r\nabc".to_owned(), Answer(304, ""), Discarded),
        bad("U5", &ok("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", "abc")),
        bad("U5", &ok("Transfer-Encoding: gzip, chunked\r\n", "3\r\nabc\r\n0\r\n\r\n")),
        bad("U6", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        bad("U7", "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ("U8", format!("HTTP/1.1 100 Go on\r\n\r\n{fine}"), Answer(200, "abc"), Kept),
        ("U8", format!("HTTP/1.1 102 Wait\r\nX: y\r\n\r\n{fine}"), Answer(200, "abc"), Kept),
        ("U9", "HTTP/1.1 102 Wait\r\n\r\n".repeat(16) + &fine, Answer(200, "abc"), Kept),
        bad("U9", &("HTTP/1.1 102 Wait\r\n\r\n".repeat(2000) + &fine)),
        ("U10", ok("Content-Length: 9\r\n", "abc"), Broken, Discarded),
        ("U10", ok("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"), Broken, Discarded),
        bad("U11", "HTTP/1.1 200 OK\r\nX: "),
        bad("U11", ""),
        bad("U11", "garbage\r\n\r\n"),
        bad("U11", "<html>0.9</html>"),
        bad("U12", &ok(&format!("X: {}\r\nContent-Length: 3\r\n", "a".repeat(1 << 20)), "abc")),
        bad("U12", &format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(1 << 20))),
        ("U12", ok(&format!("{}Content-Length: 3\r\n", "X: a\r\n".repeat(200)), "abc"), Answer(200, "abc"), Kept),
        (
            "U13",
            ok("Connection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n", "abc"),
            Answer(200, "abc"),
            Kept,
        ),
        bad("U14", &ok("X: a\r\n b\r\nContent-Length: 3\r\n", "abc")),
        ("U14", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc".to_owned(), Answer(200, "abc"), Kept),
    ]
}

/// Answers each request with `bytes`; those that are to be incomplete end the connection.
async fn upstream(bytes: String, gets: &Gets, then: Then) -> Upstream {
    let ends = then == Discarded && !matches!(gets, Answer(200 | 204 | 304, _));
    Upstream::custom(move |mut wire: Wire| {
        let bytes = bytes.clone();
        async move {
            while let Ok(Some(_)) = wire.read_head().await {
                // The gateway may have seen enough before the end.
                if wire.write(&bytes).await.is_err() || ends {
                    return;
                }
            }
        }
    })
    .await
}

async fn ask(gateway: &Gateway, host: &str) -> (Head, Result<String, std::io::Error>) {
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get(host, "/").bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().expect("an answer");
    let body = wire.read_answer_body(&head).await;
    (head, body.map(|body| String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn upstream_rows() {
    let rows = rows();
    let mut upstreams = Vec::new();
    let mut services = Vec::new();
    for (number, (_, bytes, gets, then)) in rows.iter().enumerate() {
        let upstream = upstream(bytes.clone(), gets, *then).await;
        services.push(Service::on_host(&format!("u{number}"), &format!("u{number}.test")).at(&upstream));
        upstreams.push(upstream);
    }
    // One worker, so that a kept connection is used again.
    let gateway = Setup::with_services(&services).config("[runtime]\nworkers = 1").start().await;
    let mut failures = Vec::new();
    for (number, (id, bytes, gets, then)) in rows.iter().enumerate() {
        let shown: String = bytes.chars().take(80).collect();
        let mut fail = |what: String| failures.push(format!("{id} {shown:?}: {what}"));
        for _ in 0..2 {
            let (head, body) = ask(&gateway, &format!("u{number}.test")).await;
            match (gets, body) {
                (Answer(status, text), Ok(body)) if head.status() == *status && body == *text => {}
                (Broken, Err(_)) => {}
                (_, body) => fail(format!("{} {body:?}", head.start)),
            }
            for gone in ["x-secret", "keep-alive"] {
                if head.get(gone).is_some() {
                    fail(format!("{gone} reached the client"));
                }
            }
        }
        let kept = if upstreams[number].connections() == 1 { Kept } else { Discarded };
        if kept != *then {
            fail(format!("the connection was {kept:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn early_hints_are_passed_on_and_other_interim_answers_are_not() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X\r\nContent-Length: 5\r\n\r\n";
    let upstream = Upstream::custom(move |mut wire: Wire| async move {
        while let Ok(Some(head)) = wire.read_head().await {
            wire.write("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n").await.unwrap();
            wire.write(hints).await.unwrap();
            // Alone, or together with the answer.
            if head.word(1) == "/alone" {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            wire.write([hints, &ok("Content-Length: 3\r\n", "abc")].concat()).await.unwrap();
        }
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    // Two at once: the hints of the second may not come before the answer to the first.
    let both = [Request::get("shop.test", "/alone").bytes(), Request::get("shop.test", "/together").bytes()].concat();
    wire.write(both).await.unwrap();
    for _ in 0..2 {
        for _ in 0..2 {
            let head = wire.read_head().await.unwrap().unwrap();
            assert_eq!((head.status(), head.get("link")), (103, Some("</a.css>; rel=preload")), "U8");
            assert_eq!((head.get("connection"), head.get("content-length")), (None, None), "U8");
        }
        let head = wire.read_head().await.unwrap().unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(wire.read_answer_body(&head).await.unwrap(), b"abc");
    }
    // Who speaks HTTP/1.0 knows no interim answers.
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 200);
}
