//! Requests that are sent again, and bodies that are read to their end first: sections A6 and B11.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::{Behaviour, Upstream, answer};
use sluice_tests::wire::Wire;

/// A v3 service on the host of its name, with one middleware.
fn v3(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}`)");
    let uses = format!("traefik.http.routers.{name}.middlewares={name}");
    options.iter().fold(Service::new(name, &[&rule, &uses]), |service, option| {
        service.tag(&format!("traefik.http.middlewares.{name}.{option}"))
    })
}

fn v1(name: &str, tags: &[&str]) -> Service {
    tags.iter()
        .fold(Service::on_host(name, name), |service, tag| service.tag(&format!("traefik.backend.buffering.{tag}")))
}

/// Answers 503 to this many requests, then 200 with the body it got.
async fn failing_at_first(times: usize) -> Upstream {
    let seen = Arc::new(AtomicUsize::new(0));
    Upstream::custom(move |mut wire: Wire| {
        let seen = Arc::clone(&seen);
        async move {
            while let Ok(Some(head)) = wire.read_head().await {
                let Ok(body) = wire.read_request_body(&head).await else { return };
                let status = if seen.fetch_add(1, Ordering::Relaxed) < times { 503 } else { 200 };
                if wire.write(answer(status, &String::from_utf8_lossy(&body))).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_request_is_sent_again_where_its_step_says_so() {
    let failing = Upstream::start(Behaviour::Status(503)).await;
    let (recovers, with_body, late) = (failing_at_first(2).await, failing_at_first(1).await, failing_at_first(9).await);
    let services = [
        v3("any", &["retry.attempts=3"]).at(&failing),
        v3("listed", &["retry.attempts=3", "retry.status=500-599"]).at(&failing),
        v3("recovers", &["retry.attempts=4", "retry.initialinterval=1ms", "retry.status=503"]).at(&recovers),
        v3("body", &["retry.attempts=2", "retry.status=503", "retry.maxrequestbodybytes=4"]).at(&with_body),
        v3("post", &["retry.attempts=2", "retry.status=503", "retry.retrynonidempotentmethod=true"]).at(&late),
        v3("dead", &["retry.attempts=2"]).at_port(1, &[]),
        v3("bad", &["retry.attempts=0"]).at(&failing),
    ];
    let gateway = Setup::with_services(&services).start().await;

    let tries = async |method: &str, host: &str| {
        let before = failing.received().len();
        let status = gateway.send(Request::new(method, host, "/")).await.status();
        (status, failing.received().len() - before)
    };
    assert_eq!(tries("GET", "any").await, (503, 1), "an answer is an answer");
    assert_eq!(tries("GET", "listed").await, (503, 3), "the last answer is passed on");
    assert_eq!(tries("POST", "listed").await, (503, 1), "it may have had an effect");
    assert_eq!(gateway.get("recovers", "/").await.status(), 200);
    assert_eq!(gateway.get("dead", "/").await.status(), 502);
    assert_eq!(gateway.get("bad", "/").await.status(), 404);

    let long = gateway.send(Request::new("PUT", "body", "/").body(b"12345")).await;
    assert_eq!((long.status(), long.text().as_str()), (503, "12345"), "too long to be kept, and whole all the same");
    let posted = gateway.send(Request::new("POST", "post", "/").body(b"12345")).await;
    assert_eq!((posted.status(), posted.text().as_str()), (503, "12345"));
    let metrics = gateway.api("/api/http/middlewares/listed@file").await;
    assert_eq!(metrics["retry"]["status"], json!(["500-599"]));
}

#[tokio::test]
async fn a_whole_body_is_sent_again() {
    let upstream = failing_at_first(1).await;
    let options = ["retry.attempts=2", "retry.status=503"];
    let gateway = Setup::with_services(&[v3("body", &options).at(&upstream)]).start().await;
    let answer = gateway.send(Request::new("PUT", "body", "/").body(b"12345")).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "12345"));
}

#[tokio::test]
async fn bodies_are_buffered_and_limited() {
    let echo = Upstream::echo().await;
    let (failing, recovers) = (Upstream::start(Behaviour::Status(502)).await, failing_at_first(1).await);
    let services = [
        v1("one", &["maxRequestBodyBytes=8"]).at(&echo),
        v1("again", &["retryExpression=IsNetworkError() && Attempts() <= 2"]).at(&failing),
        v1("bad", &["retryExpression=Attempts() <"]).at(&echo),
        v3("three", &["buffering.maxrequestbodybytes=300000", "buffering.memrequestbodybytes=1000"]).at(&echo),
        v3("answer", &["buffering.maxresponsebodybytes=5"]).at(&echo),
        v3(
            "spilled",
            &[
                "buffering.memrequestbodybytes=3",
                "buffering.memresponsebodybytes=3",
                "buffering.retryexpression=ResponseCode() == 503",
            ],
        )
        .at(&recovers),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let send = async |host: &str, body: &[u8]| gateway.send(Request::new("POST", host, "/").body(body)).await;

    assert_eq!(send("one", b"12345678").await.json()["body"], "12345678");
    let refused = send("one", b"123456789").await;
    assert_eq!((refused.status(), refused.text().as_str()), (413, "Request Entity Too Large"));
    let chunked = Request::new("POST", "one", "/").header("Transfer-Encoding", "chunked");
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write([&chunked.bytes()[..], b"5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n"].concat()).await.unwrap();
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 413, "whatever the framing");

    let large = "0123456789".repeat(20_000);
    let seen = send("three", large.as_bytes()).await.json();
    assert!(seen["body"] == *large, "a body that went through a file arrives as it was sent");
    assert_eq!(seen["headers"]["content-length"], json!(["200000"]));
    assert_eq!(send("answer", b"").await.status(), 500, "the answer exceeds its limit");
    let spilled = send("spilled", b"some more than memory").await;
    assert_eq!((spilled.status(), spilled.text().as_str()), (200, "some more than memory"));

    assert_eq!(gateway.get("again", "/").await.status(), 502);
    assert_eq!(failing.received().len(), 3);
    assert_eq!(gateway.get("bad", "/").await.status(), 404);
    let router = gateway.api("/api/http/routers/bad@file").await;
    assert!(router["error"].to_string().contains("retry expression"), "{router}");
}

async fn slow(by: Duration) -> Upstream {
    Upstream::start(Behaviour::Slow(by)).await
}

#[tokio::test]
async fn the_first_answer_of_two_counts() {
    let (stuck, quick) = (slow(Duration::from_secs(30)).await, Upstream::echo().await);
    let lonely = slow(Duration::from_millis(200)).await;
    let services = [
        v3("hedged", &["retry.attempts=1", "retry.hedgeafter=50ms"]).at(&stuck).at(&quick),
        v3("alone", &["retry.attempts=1", "retry.hedgeafter=50ms"]).at(&lonely),
        v3("tried", &["retry.attempts=2", "retry.trytimeout=100ms"]).at(&stuck).at(&quick),
        v3("late", &["retry.attempts=1", "retry.trytimeout=100ms"]).at(&stuck),
    ];
    let gateway = Setup::with_services(&services).start().await;
    for _ in 0..4 {
        assert_eq!(gateway.get("hedged", "/").await.status(), 200);
    }
    assert!((1..=4).contains(&stuck.received().len()), "{} went to the one that is stuck", stuck.received().len());
    // Each that was stuck had a second one; the others did not need one.
    assert_eq!(quick.received().len(), 4);

    let before = quick.received().len();
    let post = gateway.send(Request::new("POST", "tried", "/").body(b"x"));
    let posted = tokio::time::timeout(Duration::from_secs(5), post).await.expect("a try has a limit of its own");
    assert!([200, 504].contains(&posted.status()), "{}", posted.status());
    for _ in 0..4 {
        assert_eq!(gateway.get("tried", "/").await.status(), 200, "the second try is at the other one");
    }
    assert!(quick.received().len() >= before + 4);
    assert_eq!(gateway.get("late", "/").await.status(), 504);
    // Nobody else is there to ask.
    assert_eq!(gateway.get("alone", "/").await.status(), 200);
    let shown = gateway.api("/api/http/middlewares/hedged@file").await;
    assert_eq!(shown["retry"]["hedgeAfter"], json!("50ms"));
}

#[tokio::test]
async fn second_requests_have_a_budget() {
    let (one, two) = (slow(Duration::from_secs(2)).await, slow(Duration::from_secs(2)).await);
    let services = [v3("hedged", &["retry.attempts=1", "retry.hedgeafter=50ms"]).at(&one).at(&two)];
    let gateway = Setup::with_services(&services).start().await;
    let address = gateway.web();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..9 {
        asked.spawn(async move { Request::get("hedged", "/").send(address).await.status() });
    }
    assert_eq!(asked.join_all().await, [200; 9]);
    // A fifth of those under way is less than three, so three of them were with both.
    assert_eq!(one.received().len() + two.received().len(), 9 + 3);
}
