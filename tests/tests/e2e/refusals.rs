//! The answers the gateway gives by itself, section D4 of the tag semantics.

use std::net::SocketAddr;
use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::client::{Answer, Request};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn gateway_with(upstream: &Upstream) -> Gateway {
    Setup::with_services(&[Service::on_host("shop", "shop.test").at(upstream)]).start().await
}

fn assert_plain(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status(), answer.text().trim_end()), (status, body), "{:?}", answer.head);
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let nobody: SocketAddr = free_address();
    let service = Service::on_host("shop", "shop.test").at_port(nobody.port(), &[]);
    let gateway = Setup::with_services(&[service]).start().await;
    assert_plain(&gateway.get("shop.test", "/").await, 502, "Bad Gateway");
}

#[tokio::test]
async fn a_connection_closed_before_an_answer_is_502() {
    let upstream = Upstream::start(Behaviour::Close).await;
    let gateway = gateway_with(&upstream).await;
    let post = Request::new("POST", "shop.test", "/").body(b"once");
    assert_plain(&gateway.send(post).await, 502, "Bad Gateway");
    assert_eq!(upstream.received().len(), 1, "a request that may have been processed is not sent again");
}

/// Row U15 of `http-strictness.md`, as the next one.
#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_is_504() {
    let upstream = Upstream::start(Behaviour::Slow(Duration::from_secs(60))).await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config("[upstream]\nresponse-timeout = \"200ms\"").start().await;
    assert_plain(&gateway.get("shop.test", "/").await, 504, "Gateway Timeout");
}

#[tokio::test]
async fn an_instance_that_does_not_accept_in_time_is_504() {
    // A full accept queue: the system drops what more arrives, as a host that is down would.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    let services = [Service::on_host("shop", "shop.test").at_port(address.port(), &[])];
    let gateway = Setup::with_services(&services).config("[upstream]\nconnect-timeout = \"200ms\"").start().await;
    assert_plain(&gateway.get("shop.test", "/").await, 504, "Gateway Timeout");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_502() {
    let upstream = Upstream::start(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")).await;
    let gateway = gateway_with(&upstream).await;
    assert_plain(&gateway.get("shop.test", "/").await, 502, "Bad Gateway");
}

#[tokio::test]
async fn a_v1_service_with_only_critical_or_no_instances_has_no_route() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("empty", "empty.test"), Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).start().await;
    assert_plain(&gateway.get("empty.test", "/").await, 404, "404 page not found");
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
}

#[tokio::test]
async fn a_route_whose_instances_all_have_no_share_is_503() {
    let upstream = Upstream::echo().await;
    let rule = "traefik.http.routers.shop.rule=Host(`shop.test`)";
    let weight = "traefik.http.services.shop.loadbalancer.server.weight=0";
    let gateway = Setup::with_services(&[Service::new("shop", &[rule, weight]).at(&upstream)]).start().await;
    assert_plain(&gateway.get("shop.test", "/").await, 503, "no available server");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_instances_own_errors_pass_unchanged() {
    let upstream = Upstream::start(Behaviour::Status(503)).await;
    let gateway = gateway_with(&upstream).await;
    let answer = gateway.get("shop.test", "/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, ""));
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_malformed_request_is_400_and_ends_the_connection() {
    let upstream = Upstream::echo().await;
    let gateway = gateway_with(&upstream).await;
    for bytes in [
        "GET / HTTP/1.1\r\nHost: shop.test\r\nHost: other.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ] {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        wire.write(bytes).await.unwrap();
        let head = wire.read_head().await.unwrap().expect("an answer");
        assert_eq!(head.status(), 400, "{bytes:?}");
        wire.read_answer_body(&head).await.unwrap();
        assert!(matches!(wire.read_head().await, Ok(None) | Err(_)), "still open after {bytes:?}");
    }
    assert!(upstream.received().is_empty());
}

/// Waits until the gateway has counted this refusal.
async fn counted(gateway: &Gateway, reason: &str) {
    let line = format!("sluice_rejected_total{{reason={reason}}}");
    sluice_tests::until(&line, async || {
        Request::get("admin", "/metrics").send(gateway.admin()).await.text().contains(&line)
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_fail_are_counted_by_reason() {
    let upstream = Upstream::echo().await;
    let [uniform, by_name] = [free_address(), free_address()];
    let tags = ["rule=HostSNI(`db.test`)", "tls=true", "entrypoints=byname"];
    let tags = tags.map(|tag| format!("traefik.tcp.routers.db.{tag}"));
    let db = tags.iter().fold(Service::new("db", &[]), |service, tag| service.tag(tag)).at(&upstream);
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream), db])
        .config(&format!("[entrypoints.uniform]\naddress = \"{uniform}\"\ntls = {{}}"))
        .config(&format!("[entrypoints.byname]\naddress = \"{by_name}\"\ntls = {{}}"))
        .start()
        .await;
    // A first message that says it is long, and goes on.
    let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; (1 << 14) - 4], &[0x16, 3, 1, 0x40, 0]].concat();
    let rows: [(SocketAddr, &[u8], &str); 4] = [
        (uniform, b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\"tls-handshake\""),
        (by_name, b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\"tls-hello\""),
        (by_name, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "\"tls-eof\""),
        (by_name, &endless, "\"tls-hello-too-large\""),
    ];
    for (address, bytes, reason) in rows {
        let mut wire = Wire::connect(address).await.unwrap();
        wire.write(bytes).await.unwrap();
        if reason == "\"tls-eof\"" {
            drop(wire);
        } else {
            while wire.read_exactly(1).await.is_ok() {}
        }
        counted(&gateway, reason).await;
    }
    assert!(upstream.received().is_empty());
}
