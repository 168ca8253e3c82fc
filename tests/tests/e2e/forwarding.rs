//! What is added to, kept in and taken out of messages on their way: sections D2 and D3.

use serde_json::{Value, json};
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::upstream::{Behaviour, Upstream};
use sluice_tests::wire::Wire;

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    (upstream, gateway)
}

async fn seen(gateway: &Gateway, request: Request) -> Value {
    let answer = gateway.send(request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn the_upstream_learns_who_asked_for_what() {
    let (_upstream, gateway) = start().await;
    let seen = seen(&gateway, Request::get("shop.test:8000", "/a?b=c")).await;
    assert_eq!((&seen["uri"], &seen["host"]), (&json!("/a?b=c"), &json!("shop.test:8000")));
    let headers = &seen["headers"];
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-real-ip"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["http"]));
    assert_eq!(headers["x-forwarded-host"], json!(["shop.test:8000"]));
    assert_eq!(headers["x-forwarded-port"], json!(["8000"]));
    assert!(headers["x-forwarded-server"][0].is_string(), "{headers}");
    assert!(headers["user-agent"].is_null(), "none was sent: {headers}");
    assert!(headers["accept-encoding"].is_null(), "none was sent: {headers}");
}

/// Sections D1 and D3: one reading of `;` for routing, steps and the instance.
#[tokio::test]
async fn semicolons_of_queries_separate_unless_the_entrypoint_says_otherwise() {
    let upstream = Upstream::echo().await;
    let encoding = free_address();
    let by_query = |name: &str, query: &str| {
        Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`q.test`) && Query({query})")])
            .at(&upstream)
    };
    let services = [
        Service::on_host("shop", "shop.test").at(&upstream),
        by_query("separate", "`b`, `2`"),
        by_query("whole", "`a`, `1;b=2`"),
    ];
    let keys = "encode-query-semicolons = true";
    let gateway = Setup::with_services(&services)
        .config(&format!("[entrypoints.encoding]\naddress = \"{encoding}\"\n{keys}"))
        .start()
        .await;
    let raw = async |address, target: &str, host: &str| {
        let mut wire = Wire::connect(address).await.unwrap();
        wire.write(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 200, "{target}");
        upstream.received().pop().unwrap().head.word(1).to_owned()
    };
    let (web, route) = (gateway.web(), "/x;y?a=1;b=2");
    assert_eq!(raw(web, route, "shop.test").await, "/x;y?a=1&b=2");
    assert_eq!(raw(encoding, route, "shop.test").await, "/x;y?a=1%3Bb=2");
    assert_eq!(raw(web, route, "q.test").await, "/x;y?a=1&b=2", "its second parameter was found");
    assert_eq!(raw(encoding, route, "q.test").await, "/x;y?a=1%3Bb=2", "its only parameter was found");
    assert_eq!(raw(web, "http://shop.test?a;b", "shop.test").await, "/?a&b", "a slash is put before it");
}

#[tokio::test]
async fn a_client_cannot_lie_about_itself() {
    let (_upstream, gateway) = start().await;
    let names = ["For", "Host", "Port", "Proto", "Server", "Uri", "Method", "Prefix", "Tls-Client-Cert"];
    let mut request = Request::get("shop.test", "/").header("X-Real-Ip", "203.0.113.7");
    for name in names {
        request = request.header(&format!("X-Forwarded-{name}"), "203.0.113.7");
    }
    let seen = seen(&gateway, request).await;
    assert_eq!(seen["headers"]["x-forwarded-for"], json!(["127.0.0.1"]));
    assert!(!seen.to_string().contains("203.0.113.7"), "{seen}");
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_request_stay_behind() {
    let (_upstream, gateway) = start().await;
    let request = Request::get("shop.test", "/")
        .header("Connection", "keep-alive, X-Listed")
        .header("X-Listed", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "gzip")
        .header("Upgrade", "h2c")
        .header("X-Kept", "1");
    let seen = seen(&gateway, request).await;
    let headers = &seen["headers"];
    for name in ["x-listed", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade"] {
        assert!(headers[name].is_null(), "{name} in {headers}");
    }
    assert_eq!(headers["x-kept"], json!(["1"]));
}

#[tokio::test]
async fn a_client_cannot_take_forwarded_headers_out_by_listing_them() {
    let (_upstream, gateway) = start().await;
    let request = Request::get("shop.test", "/").header("Connection", "X-Forwarded-For, X-Real-Ip, X-Forwarded-Host");
    let seen = seen(&gateway, request).await;
    assert_eq!(seen["headers"]["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(seen["headers"]["x-real-ip"], json!(["127.0.0.1"]));
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_answer_stay_behind() {
    let upstream = Upstream::start(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Listed\r\nX-Listed: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Authenticate: Basic\r\nX-Kept: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
    ))
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let answer = gateway.get("shop.test", "/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    for name in ["x-listed", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.head.get(name), None, "{:?}", answer.head);
    }
    assert_eq!(answer.head.get("x-kept"), Some("1"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert!(answer.head.get("connection").is_none_or(|value| !value.contains("X-Listed")), "{:?}", answer.head);
}

#[tokio::test]
async fn the_host_header_can_be_replaced_by_the_instances_address() {
    let upstream = Upstream::echo().await;
    let v1 = Service::on_host("one", "one.test").tag("traefik.frontend.passHostHeader=false").at(&upstream);
    let v3 = Service::new("two", &["traefik.http.routers.two.rule=Host(`two.test`)"])
        .tag("traefik.http.services.two.loadbalancer.passhostheader=false")
        .at(&upstream);
    let gateway = Setup::with_services(&[v1, v3]).start().await;
    for host in ["one.test", "two.test"] {
        let seen = seen(&gateway, Request::get(host, "/")).await;
        assert_eq!(seen["host"], json!(upstream.address().to_string()));
        assert_eq!(seen["headers"]["x-forwarded-host"], json!([host]));
    }
}

#[tokio::test]
async fn method_query_and_body_arrive_as_sent() {
    let (upstream, gateway) = start().await;
    let request = Request::new("PATCH", "shop.test", "/caf%C3%A9/x%2Fy?q=%20a&q=b").body(b"some bytes");
    let seen = seen(&gateway, request).await;
    assert_eq!((&seen["method"], &seen["body"]), (&json!("PATCH"), &json!("some bytes")));
    assert_eq!(seen["uri"], "/caf%C3%A9/x%2Fy?q=%20a&q=b");
    assert_eq!(upstream.received()[0].head.get("content-length"), Some("10"));
}

#[tokio::test]
async fn an_answer_to_head_has_its_headers_and_no_body() {
    let upstream = Upstream::custom(async |mut wire: sluice_tests::wire::Wire| {
        while let Ok(Some(_)) = wire.read_head().await {
            if wire.write("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-Kept: 1\r\n\r\n").await.is_err() {
                return;
            }
        }
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let mut wire = sluice_tests::wire::Wire::connect(gateway.web()).await.unwrap();
    for _ in 0..3 {
        let answer = Request::new("HEAD", "shop.test", "/").send_on(&mut wire).await.unwrap();
        assert_eq!((answer.status(), answer.head.get("content-length")), (200, Some("1234")));
        assert_eq!(answer.head.get("x-kept"), Some("1"));
    }
}
