//! What steps do with paths, types and bodies of messages: compression, guessed types, encoded characters, the guard
//! against loops. Section B11.

use std::io::Read;

use flate2::read::GzDecoder;
use sluice_tests::catalog::Service;
use sluice_tests::client::{Answer, Request};
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

fn v3(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}`)");
    let uses = format!("traefik.http.routers.{name}.middlewares={name}");
    options.iter().fold(Service::new(name, &[&rule, &uses]), |service, option| {
        service.tag(&format!("traefik.http.middlewares.{name}.{option}"))
    })
}

fn decoded(answer: &Answer) -> String {
    let body = &answer.body[..];
    let mut decoder: Box<dyn Read> = match answer.head.get("content-encoding") {
        None => return answer.text(),
        Some("gzip") => Box::new(GzDecoder::new(body)),
        Some("br") => Box::new(brotli::Decompressor::new(body, 4096)),
        Some("zstd") => Box::new(zstd::stream::read::Decoder::new(body).expect("set up a decoder")),
        Some(other) => panic!("coding {other}"),
    };
    let mut text = String::new();
    decoder.read_to_string(&mut text).expect("decode the body");
    text
}

#[tokio::test]
async fn answers_are_compressed_as_the_client_likes() {
    let echo = Upstream::echo().await;
    let events = Upstream::start(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: a\n\n",
    ))
    .await;
    let coded =
        Upstream::start(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: x-own\r\nContent-Length: 2\r\n\r\nab"))
            .await;
    let all = ["compress.minresponsebodybytes=10"];
    let services = [
        v3("all", &all).at(&echo),
        v3("long", &["compress=true"]).at(&echo),
        v3("some", &["compress.excludedcontenttypes=application/json", "compress.minresponsebodybytes=0"]).at(&echo),
        v3("events", &all).at(&events),
        v3("coded", &["compress.minresponsebodybytes=0"]).at(&coded),
        v3("bad", &["compress.encodings=deflate"]).at(&echo),
    ];
    let gateway = Setup::with_services(&services).start().await;
    let ask = async |host: &str, accepted: &str| {
        gateway.send(Request::get(host, "/a").header("Accept-Encoding", accepted)).await
    };

    for (accepted, coding) in [
        ("gzip", Some("gzip")),
        ("br;q=0.9, gzip;q=0.1", Some("br")),
        ("zstd", Some("zstd")),
        ("identity", None),
        ("deflate", None),
    ] {
        let answer = ask("all", accepted).await;
        assert_eq!(answer.head.get("content-encoding"), coding, "{accepted}");
        assert_eq!(answer.head.get("vary"), Some("Accept-Encoding"), "{accepted}");
        assert!(decoded(&answer).contains(r#""uri":"/a""#), "{accepted}");
    }
    assert_eq!(gateway.get("all", "/").await.head.get("content-encoding"), None, "nothing was accepted");
    for host in ["long", "some", "events", "coded"] {
        let answer = ask(host, "gzip").await;
        assert_ne!(answer.head.get("content-encoding"), Some("gzip"), "{host}");
        assert!(!answer.body.is_empty(), "{host}");
    }
    let head = gateway.send(Request::new("HEAD", "all", "/").header("Accept-Encoding", "gzip")).await;
    assert_eq!(head.head.get("content-encoding"), None);
    assert_eq!(ask("bad", "gzip").await.status(), 404);
}

#[tokio::test]
async fn a_pause_of_the_upstream_holds_nothing_back() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        let Ok(Some(_)) = wire.read_head().await else { return };
        let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        if wire.write(first).await.is_ok() {
            // Until the gateway closes the connection.
            wire.read_head().await.ok();
        }
    })
    .await;
    let gateway = Setup::with_services(&[v3("slow", &["compress=true"]).at(&upstream)]).start().await;
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(Request::get("slow", "/").header("Accept-Encoding", "gzip").bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!((head.status(), head.get("content-encoding")), (200, Some("gzip")));
    let (mut coded, mut text) = (Vec::new(), vec![0; 5]);
    while GzDecoder::new(&coded[..]).read_exact(&mut text).is_err() {
        coded.extend(wire.read_chunk().await.unwrap().expect("more of the body"));
    }
    assert_eq!(text, b"first", "what came is passed on while more is awaited");
}

#[tokio::test]
async fn types_are_guessed_paths_checked_and_loops_broken() {
    let echo = Upstream::echo().await;
    let page = Upstream::start(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<!DOCTYPE html>")).await;
    let services = [
        v3("typed", &["contenttype=true"]).at(&page),
        v3("plain", &["addprefix.prefix=/x"]).at(&page),
        v3("strict", &["encodedcharacters.allowencodedslash=true"]).at(&echo),
        Service::new("looped", &["traefik.http.services.looped.loadbalancer.passhostheader=true"]).at(&echo),
    ];
    let gateway = Setup::with_services(&services).start().await;

    let typed = gateway.get("typed", "/").await;
    assert_eq!(
        (typed.head.get("content-type"), typed.text().as_str()),
        (Some("text/html; charset=utf-8"), "<!DOCTYPE html>")
    );
    assert_eq!(gateway.get("plain", "/").await.head.get("content-type"), None, "nothing is guessed by itself");

    for (path, status) in [("/a%2Fb", 200), ("/a%3bb", 400), ("/a%5Cb", 400), ("/a%20b", 200)] {
        assert_eq!(gateway.get("strict", path).await.status(), status, "{path}");
    }
    let seen = gateway.get("looped", "/").await.json();
    let mark = seen["headers"]["x-traefik-router"][0].as_str().expect("the service sees the mark").to_owned();
    let again = gateway.send(Request::get("looped", "/").header("X-Traefik-Router", &mark)).await;
    assert_eq!(again.status(), 400, "it has been here before");
    let other = gateway.send(Request::get("looped", "/").header("X-Traefik-Router", "other")).await;
    assert_eq!(other.status(), 200);
}
