//! What an entrypoint can be told: whom to believe, what to refuse, and how connections end.

use std::net::SocketAddr;
use std::time::Duration;

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::until;
use sluice_tests::upstream::{Upstream, answer};
use sluice_tests::wire::Wire;

fn with(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n")
}

async fn status(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<u16> {
    let mut wire = Wire::connect(address).await.unwrap();
    wire.write(bytes).await.unwrap();
    wire.read_head().await.ok().flatten().map(|head| head.status())
}

fn entrypoint(name: &str, address: SocketAddr, keys: &str) -> String {
    format!("[entrypoints.{name}]\naddress = \"{address}\"\n{keys}\n")
}

async fn rejected(gateway: &Gateway, reason: &str) -> bool {
    let metrics = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    metrics.contains(&format!("sluice_rejected_total{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn unusual_names_and_encodings_can_be_refused() {
    let upstream = Upstream::echo().await;
    let [dropping, rejecting] = [free_address(), free_address()];
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)])
        .config(&entrypoint("dropping", dropping, "header-names = \"drop\""))
        .config(&entrypoint(
            "rejecting",
            rejecting,
            "header-names = \"reject\"\nencoded-characters = { allow-encoded-slash = false }",
        ))
        .start()
        .await;
    let odd = with("X_Odd: 1\r\nX-Even: 2\r\n");
    assert_eq!(status(dropping, &odd).await, Some(200));
    let head = upstream.received().pop().unwrap().head;
    assert_eq!((head.get("x_odd"), head.get("x-even")), (None, Some("2")));
    assert_eq!(status(rejecting, &odd).await, Some(400));
    assert_eq!(status(rejecting, with("X-Even: 2\r\n")).await, Some(200));
    let encoded = odd.replace("GET / ", "GET /a%2Fb ").replace("X_Odd", "X-Odd");
    assert_eq!(status(rejecting, &encoded).await, Some(400));
    assert_eq!(status(dropping, &encoded).await, Some(200));
    assert!(rejected(&gateway, "header_name").await && rejected(&gateway, "encoded_character").await);
}

#[tokio::test]
async fn load_balancers_that_are_trusted_say_who_the_client_is() {
    let upstream = Upstream::echo().await;
    let [proxied, trusting] = [free_address(), free_address()];
    let vip = Service::new("vip", &["traefik.http.routers.vip.rule=Host(`shop.test`) && ClientIP(`9.9.9.9`)"]);
    let services = [vip.at(&upstream)];
    let gateway = Setup::with_services(&services)
        .config(&entrypoint("proxied", proxied, "proxy-protocol = { trusted-ips = [\"127.0.0.0/8\"] }"))
        .config(&entrypoint("trusting", trusting, "trusted-ips = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"))
        .start()
        .await;
    let text = |ip: &str| format!("PROXY TCP4 {ip} 1.1.1.1 1000 80\r\n{}", with("")).into_bytes();
    let binary = |command: u8| {
        let head = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x20 | command, 0x11, 0, 12]].concat();
        [&head[..], &[9, 9, 9, 9, 1, 1, 1, 1, 3, 232, 0, 80], with("").as_bytes()].concat()
    };
    assert_eq!(status(proxied, text("9.9.9.9")).await, Some(200));
    assert_eq!(upstream.received()[0].head.all("x-forwarded-for"), ["9.9.9.9"]);
    assert_eq!(status(proxied, text("8.8.8.8")).await, Some(404));
    assert_eq!(status(proxied, binary(1)).await, Some(200));
    assert_eq!(status(proxied, binary(0)).await, Some(404), "the load balancer itself");
    assert_eq!(status(proxied, with("")).await, None, "who may speak it has to");
    assert!(rejected(&gateway, "proxy_protocol").await);
    // In pieces, and with HTTP/2 behind it.
    let mut wire = Wire::connect(proxied).await.unwrap();
    for piece in text("9.9.9.9").chunks(11) {
        wire.write(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(wire.read_head().await.unwrap().unwrap().status(), 200);

    let claims = |claim: &str| with(&format!("X-Forwarded-For: {claim}\r\n"));
    assert_eq!(status(trusting, claims("6.6.6.6, 9.9.9.9, 10.0.0.7")).await, Some(200));
    assert_eq!(
        upstream.received().pop().unwrap().head.all("x-forwarded-for"),
        ["6.6.6.6, 9.9.9.9, 10.0.0.7, 127.0.0.1"]
    );
    assert_eq!(status(trusting, claims("9.9.9.9, 6.6.6.6")).await, Some(404));
    assert_eq!(status(gateway.web(), claims("9.9.9.9")).await, Some(404), "nobody is trusted there");
}

#[tokio::test]
async fn connections_are_told_when_the_gateway_leaves() {
    let upstream = Upstream::custom(async |mut wire: Wire| {
        while let Ok(Some(head)) = wire.read_head().await {
            if head.get("upgrade").is_none() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                wire.write(answer(200, "slow")).await.unwrap();
                continue;
            }
            wire.write("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x05hello")
                .await
                .unwrap();
            // Until it is told as well.
            assert_eq!(wire.read_exactly(8).await.unwrap(), b"\x88\x82\0\0\0\0\x03\xe9");
            return;
        }
    })
    .await;
    let setup = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]);
    let mut gateway = setup.config("[shutdown]\npre-stop = \"0s\"\ndrain = \"20s\"").start().await;
    let mut idle = Wire::connect(gateway.web()).await.unwrap();
    let mut socket = Wire::connect(gateway.web()).await.unwrap();
    let mut busy = Wire::connect(gateway.web()).await.unwrap();
    assert_eq!(Request::get("none.test", "/").send_on(&mut idle).await.unwrap().status(), 404);
    socket.write(with("Connection: Upgrade\r\nUpgrade: websocket\r\n")).await.unwrap();
    assert_eq!(socket.read_head().await.unwrap().unwrap().status(), 101);
    assert_eq!(socket.read_exactly(7).await.unwrap(), b"\x01\x05hello");
    busy.write(with("")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    gateway.process().signal("TERM");
    assert!(idle.read_head().await.unwrap().is_none(), "an idle connection is closed");
    let head = busy.read_head().await.unwrap().unwrap();
    assert_eq!((head.status(), head.get("connection")), (200, Some("close")));
    assert_eq!(socket.read_exactly(4).await.unwrap(), [0x88, 2, 0x03, 0xe9], "going away");
    let process = gateway.process();
    until("the process ends", async || process.ended().is_some()).await;
    assert!(gateway.process().ended().is_some_and(|status| status.success()));
}

#[tokio::test]
async fn running_out_of_file_descriptors_hurts_nobody_who_is_connected() {
    let upstream = Upstream::echo().await;
    let mut gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let mut before = Wire::connect(gateway.web()).await.unwrap();
    assert_eq!(Request::get("shop.test", "/").send_on(&mut before).await.unwrap().status(), 200);
    let id = gateway.process().id();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    let mut limit = std::process::Command::new("prlimit");
    limit.arg(format!("--pid={id}")).arg(format!("--nofile={}", open + 20));
    assert!(limit.status().expect("start prlimit").success());
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Wire::connect(gateway.web()).await.unwrap());
    }
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let used = cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Request::get("none.test", "/").send_on(&mut before).await.unwrap().status(), 404);
    assert!(cpu() - used < 50, "R14: {} ticks in a second of waiting", cpu() - used);
    drop(crowd);
    until("new clients are served again", async || {
        let Ok(mut wire) = Wire::connect(gateway.web()).await else { return false };
        Request::get("none.test", "/").send_on(&mut wire).await.is_ok_and(|answer| answer.status() == 404)
    })
    .await;
    assert!(rejected(&gateway, "accept").await);
}

#[tokio::test]
async fn what_is_logged_stays_on_its_line() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)])
        .config("[access-log]\noutput = \"access.log\"\nformat = \"json\"")
        .start()
        .await;
    assert_eq!(status(gateway.web(), b"GET /\x1b[31m\"x HTTP/1.1\r\nHost: shop.test\r\n\r\n").await, Some(400));
    assert_eq!(status(gateway.web(), with("User-Agent: a\tb\"c\\\u{e9}\r\n")).await, Some(200));
    let log = gateway.folder().join("access.log");
    until("both are logged", async || std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 2)).await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains('\x1b') && !text.contains('\t'), "I8: {text}");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().find(|line| line["DownstreamStatus"] == 400).unwrap();
    assert!(refused["RequestPath"].as_str().unwrap().contains("GET /\x1b[31m\"x"), "{refused}");
}
