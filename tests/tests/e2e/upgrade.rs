//! Protocol upgrades: bytes pass freely after a 101, and only then.

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::{Upstream, answer};
use sluice_tests::wire::Wire;

async fn gateway_with(upstream: &Upstream) -> Gateway {
    Setup::with_services(&[Service::on_host("chat", "chat.test").at(upstream)]).start().await
}

fn handshake() -> Request {
    Request::get("chat.test", "/socket")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn after_101_bytes_pass_both_ways() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        let head = wire.read_head().await.unwrap().unwrap();
        assert_eq!(head.get("upgrade"), Some("websocket"));
        assert!(head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
        assert_eq!(head.get("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(head.get("x-forwarded-proto"), Some("ws"));
        let accept = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        wire.write(format!("HTTP/1.1 101 Switching Protocols\r\n{accept}\r\n\r\nhello")).await.unwrap();
        // Neither HTTP nor text: only a tunnel lets this through.
        let sent = wire.read_exactly(4).await.unwrap();
        wire.write([&sent[..], b"\x81\xff\x00"].concat()).await.unwrap();
    })
    .await;
    let gateway = gateway_with(&upstream).await;

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write(handshake().bytes()).await.unwrap();
    let head = wire.read_head().await.unwrap().unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(head.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(wire.read_exactly(5).await.unwrap(), b"hello");
    wire.write(b"\x00\r\n\xfe").await.unwrap();
    assert_eq!(wire.read_exactly(7).await.unwrap(), b"\x00\r\n\xfe\x81\xff\x00");
    assert!(wire.read_head().await.unwrap().is_none(), "the upstream's close reaches the client");
}

#[tokio::test]
async fn a_refused_upgrade_stays_http() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        while let Ok(Some(_)) = wire.read_head().await {
            if wire.write(answer(200, "plain")).await.is_err() {
                return;
            }
        }
    })
    .await;
    let gateway = gateway_with(&upstream).await;

    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    let refused = handshake().send_on(&mut wire).await.unwrap();
    assert_eq!((refused.status(), refused.text().as_str()), (200, "plain"), "F26");
    // What follows on the connection is read as HTTP and routed: it is no tunnel to that upstream.
    let next = Request::get("unknown.test", "/").send_on(&mut wire).await.unwrap();
    assert_eq!(next.status(), 404, "F26");
}
