//! `http-strictness.md` 2a to 2c, a case for each row: bytes as an attacker would send them, the answer, and what the
//! upstream got. One gateway and one upstream for all of them.

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::{Received, Upstream};
use sluice_tests::wire::Wire;

/// What has to come of the bytes.
enum Then {
    /// This status, this reason counted, the connection closed, nothing upstream.
    Refused(u16, &'static str),
    /// As refused, but a request that came before has reached the upstream.
    RefusedAfter(&'static [&'static str], u16, &'static str),
    /// Each answered with 200, with these request lines and bodies upstream.
    Passed(&'static [(&'static str, &'static str)]),
}
use Then::{Passed, Refused, RefusedAfter};

type Row = (&'static str, String, Then);

const RULE: &str = "traefik.http.routers.shop.rule=Host(`shop.test`)";
const HOST: &str = "Host: shop.test\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{HOST}\r\n")
}

fn with(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\n{HOST}{headers}\r\n")
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\n{HOST}{headers}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn framing() -> Vec<Row> {
    let te = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "3\r\nabc\r\n0\r\n\r\n");
    let cl = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abc");
    let mut rows = vec![
        (
            "F1",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            Refused(400, "length_and_coding"),
        ),
        (
            "F1b",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            Refused(400, "length_and_coding"),
        ),
        ("F2", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), Refused(400, "duplicate_content_length")),
        ("F3", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), Refused(400, "duplicate_content_length")),
        ("F3b", cl("3, 3"), Refused(400, "bad_content_length")),
        ("F5", post("Content-Length : 3\r\n", "abc"), Refused(400, "bad_header_name")),
        ("F6", te("xchunked"), Refused(400, "bad_transfer_encoding")),
        ("F6b", te("identity"), Refused(400, "bad_transfer_encoding")),
        ("F6c", te("chunked, identity"), Refused(400, "bad_transfer_encoding")),
        ("F6d", te("\x0bchunked"), Refused(400, "control_character")),
        ("F7", te("chunked, chunked"), Refused(400, "bad_transfer_encoding")),
        ("F7b", te("chunked\r\nTransfer-Encoding: chunked"), Refused(400, "bad_transfer_encoding")),
        ("F8", te("gzip, chunked"), Refused(501, "unknown_transfer_encoding")),
        ("F9", te("\r\n chunked"), Refused(400, "bad_transfer_encoding")),
        (
            "F10",
            format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Refused(400, "coding_on_http_10"),
        ),
        (
            "F11",
            format!("POST /p HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n{NEXT}"),
            Passed(&[("POST /p HTTP/1.1", ""), ("GET /next HTTP/1.1", "")]),
        ),
        ("F12", chunked("3;a\nabc\r\n0\r\n\r\n"), Refused(400, "bad_chunk")),
        ("F13h", chunked("3 \r\nabc\r\n0\r\n\r\n"), Passed(&[("POST /p HTTP/1.1", "abc")])),
        ("F13i", chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), Passed(&[("POST /p HTTP/1.1", "abc")])),
        ("F14", chunked("00000000000000003\r\nabc\r\n0\r\n\r\n"), Refused(400, "bad_chunk")),
        ("F15", chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(64 << 10))), Refused(400, "bad_chunk")),
        ("F15b", chunked(&format!("1;{}\r\na\r\n", "a".repeat(10 << 10)).repeat(2)), Refused(400, "bad_chunk")),
        (
            "F16",
            chunked("3\r\nabc\r\n0\r\nContent-Length: 9\r\nHost: x\r\nAuthorization: y\r\n\r\n"),
            Passed(&[("POST /p HTTP/1.1", "abc")]),
        ),
        ("F17", chunked("3\r\nabc\r\n0\r\n\rX"), Refused(400, "bad_trailer")),
        ("F18", format!("GET / HTTP/1.1\n{HOST}\r\n"), Refused(400, "bare_lf")),
        ("F18b", with("X-A: b\nX-Inject: c\r\n"), Refused(400, "bare_lf")),
        ("F18c", with("Useless:\n\nGET /admin HTTP/1.1\r\nHost: shop.test\r\n"), Refused(400, "bare_lf")),
        ("F19", with("X-A: b\rc\r\n"), Refused(400, "bare_cr")),
        ("F19b", with("X-A: b\0c\r\n"), Refused(400, "control_character")),
        ("F19c", with("X-A: b\x1bc\r\n"), Refused(400, "control_character")),
        ("F20", with("X-A: b\r\n\tc\r\n"), Refused(400, "obs_fold")),
        ("F21", format!("GET / HTTP/1.1\r\n {HOST}\r\n"), Refused(400, "obs_fold")),
        ("F21b", with("colonless\r\n"), Refused(400, "bad_header_name")),
        ("F21c", with(": empty\r\n"), Refused(400, "bad_header_name")),
        ("F21d", with("X A: b\r\n"), Refused(400, "bad_header_name")),
        ("F23b", post("Expect: junk\r\nContent-Length: 3\r\n", "abc"), Refused(417, "bad_expectation")),
        (
            "F25",
            with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            Passed(&[("GET / HTTP/1.1", "")]),
        ),
        (
            "F24",
            with("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n") + NEXT,
            Passed(&[("GET / HTTP/1.1", ""), ("GET /next HTTP/1.1", "")]),
        ),
        (
            "F24b",
            with("Connection: Upgrade\r\nUpgrade: websocket\r\n") + "GET /admin HTTP/1.1\n",
            RefusedAfter(&["GET / HTTP/1.1"], 400, "bare_lf"),
        ),
        ("F27", [NEXT, NEXT].concat(), Passed(&[("GET /next HTTP/1.1", ""), ("GET /next HTTP/1.1", "")])),
        ("F27b", format!("{NEXT}GET / HTTP/1.1\n"), RefusedAfter(&["GET /next HTTP/1.1"], 400, "bare_lf")),
    ];
    for value in ["+3", "-1", "0x3", "", "1_0", "18446744073709551617"] {
        rows.push(("F4", cl(value), Refused(400, "bad_content_length")));
    }
    for line in ["3\n", "0x3\r\n", "+3\r\n", "-3\r\n", "3_0\r\n", "3;\r\n", "3;a\x01\r\n"] {
        rows.push(("F13", chunked(&format!("{line}abc\r\n0\r\n\r\n")), Refused(400, "bad_chunk")));
    }
    rows.push(("F13", chunked("3\r\nabcdef\r\n0\r\n\r\n"), Refused(400, "bad_chunk")));
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let framed = format!("{method} /p HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc{NEXT}");
        let coded =
            format!("{method} /p HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{NEXT}");
        let upstream: &'static [(&str, &str)] = match method {
            "GET" => &[("GET /p HTTP/1.1", "abc"), ("GET /next HTTP/1.1", "")],
            "HEAD" => &[("HEAD /p HTTP/1.1", "abc"), ("GET /next HTTP/1.1", "")],
            "OPTIONS" => &[("OPTIONS /p HTTP/1.1", "abc"), ("GET /next HTTP/1.1", "")],
            _ => &[("DELETE /p HTTP/1.1", "abc"), ("GET /next HTTP/1.1", "")],
        };
        rows.push(("F22", framed, Passed(upstream)));
        rows.push(("F22", coded, Passed(upstream)));
    }
    rows
}

fn targets() -> Vec<Row> {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\n{HOST}\r\n");
    let mut rows = vec![
        ("H1", "GET / HTTP/1.1\r\n\r\n".to_owned(), Refused(400, "missing_host")),
        ("H1b", "GET http://shop.test/ HTTP/1.1\r\n\r\n".to_owned(), Refused(400, "missing_host")),
        ("H2", with("Host: other.test\r\n"), Refused(400, "duplicate_host")),
        ("H4", host("shop.test:81"), Passed(&[("GET / HTTP/1.1", "")])),
        ("H4", host("Shop.TEST."), Passed(&[("GET / HTTP/1.1", "")])),
        (
            "H5",
            "GET http://shop.test/x?y HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(),
            Passed(&[("GET /x?y HTTP/1.1", "")]),
        ),
        ("H5b", "GET http://u@shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_owned(), Refused(400, "bad_host")),
        ("H7", get("admin"), Refused(400, "bad_target")),
        ("H8", get("/a#/../b"), Refused(400, "bad_target")),
        ("H9", get("/pub/../admin"), Passed(&[("GET /admin HTTP/1.1", "")])),
        ("H9", get("/pub/%2e%2e/admin"), Passed(&[("GET /admin HTTP/1.1", "")])),
        ("H9", get("/./a"), Passed(&[("GET /a HTTP/1.1", "")])),
        ("H9", get("//admin"), Passed(&[("GET /admin HTTP/1.1", "")])),
        ("H10", get("/%00"), Refused(400, "bad_path")),
        ("H10", get("/a%2fb%5Cc%25d%3be%3ff%23g"), Passed(&[("GET /a%2Fb%5Cc%25d%3Be%3Ff%23g HTTP/1.1", "")])),
        ("H11", get("/%zz"), Refused(400, "bad_path")),
        ("H11", get("/%c0%af"), Refused(400, "bad_path")),
        ("H11", get("/\u{e4}"), Refused(400, "bad_target")),
        ("H11", get("/a\\b"), Refused(400, "bad_path")),
        ("H14", line("CONNECT shop.test:443 HTTP/1.1"), Refused(501, "connect")),
        ("H14", line("TRACE / HTTP/1.1"), Refused(405, "trace")),
        ("H15", line("get / HTTP/1.1"), Passed(&[("get / HTTP/1.1", "")])),
        ("H15", line("PROPFIND / HTTP/1.1"), Passed(&[("PROPFIND / HTTP/1.1", "")])),
        ("H15", line("G\x01T / HTTP/1.1"), Refused(400, "control_character")),
        ("H16", line("GET / HTTP/1.2"), Refused(505, "unsupported_version")),
        ("H16", line("GET / HTTP/2.0"), Refused(505, "unsupported_version")),
        ("H16", line("GET / HTTP/1.1x"), Refused(400, "bad_request_line")),
        ("H16", "GET /\r\n\r\n".to_owned(), Refused(400, "bad_request_line")),
        ("H16", line("GET\t/ HTTP/1.1"), Refused(400, "control_character")),
        ("H16", line("GET  / HTTP/1.1"), Refused(400, "bad_request_line")),
        ("H16", line("GET /  HTTP/1.1"), Refused(400, "bad_request_line")),
    ];
    for value in ["a,b", "", "a/b", "a?b", "u@shop.test", "a b", "a\\b"] {
        rows.push(("H2/H3", host(value), Refused(400, "bad_host")));
    }
    for value in ["shop.test:80abc", "shop.test:99999", "shop.test:", "[::1", "[fe80::1%25eth0]", "[::1]x", "::1"] {
        rows.push(("H4/H17", host(value), Refused(400, "bad_host")));
    }
    for header in ["Authorization: a", "Content-Type: a/b", "User-Agent: a", "Referer: a", "If-Modified-Since: a"] {
        rows.push(("I5", with(&format!("{header}\r\n{header}\r\n")), Refused(400, "duplicate_header")));
    }
    let fields = |count: usize, len: usize| with(&format!("X: {}\r\n", "a".repeat(len)).repeat(count));
    rows.push(("R8", fields(100, 1), Refused(431, "too_many_headers")));
    rows.push(("R8", fields(1000, 1), Refused(431, "too_many_headers")));
    rows.push(("R8", fields(99, 1), Passed(&[("GET / HTTP/1.1", "")])));
    rows.push(("R8", fields(1, 20 << 10), Passed(&[("GET / HTTP/1.1", "")])));
    rows.push(("R8", fields(1, 70 << 10), Refused(431, "head_too_large")));
    rows.push(("R8", fields(1, 1 << 20), Refused(431, "head_too_large")));
    rows.push(("R8", get(&format!("/{}", "a".repeat(10 << 10))), Refused(414, "target_too_long")));
    rows.push(("R8", get(&format!("/{}", "a".repeat(70 << 10))), Refused(414, "target_too_long")));
    rows
}

struct Stage {
    gateway: Gateway,
    upstream: Upstream,
}

impl Stage {
    async fn start() -> Self {
        let upstream = Upstream::echo().await;
        let gateway = Setup::with_services(&[Service::new("shop", &[RULE]).at(&upstream)]).start().await;
        Self { gateway, upstream }
    }

    async fn rejected(&self) -> Vec<(String, u64)> {
        let text = Request::get("admin", "/metrics").send(self.gateway.admin()).await.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("sluice_rejected_total{reason=\""));
        let counts = lines.filter_map(|line| line.split_once("\"} "));
        counts.map(|(reason, count)| (reason.to_owned(), count.parse().expect("a number"))).collect()
    }

    /// Sends the bytes, in two writes where `cut` says so; the statuses, and whether the connection was closed.
    async fn send(&self, bytes: &[u8], cut: usize, answers: usize) -> (Vec<u16>, bool) {
        let mut wire = Wire::connect(self.gateway.web()).await.unwrap();
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        // The gateway may have answered and closed before everything is sent.
        let _ = wire.write(first).await;
        if !second.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let _ = wire.write(second).await;
        }
        let head_only = bytes.starts_with(b"HEAD ");
        let mut statuses = Vec::new();
        while statuses.len() < answers {
            let Ok(Some(head)) = wire.read_head().await else { return (statuses, true) };
            if !(head_only && statuses.is_empty()) {
                wire.read_answer_body(&head).await.unwrap();
            }
            statuses.push(head.status());
            if head.get("connection") == Some("close") {
                let closed = matches!(wire.read_head().await, Ok(None) | Err(_));
                return (statuses, closed);
            }
        }
        (statuses, false)
    }

    async fn check(&self, (id, bytes, then): &Row, cut: usize) -> Result<(), String> {
        let before = self.upstream.received().len();
        let count = |counts: &[(String, u64)], reason: &str| {
            counts.iter().find(|(name, _)| name == reason).map_or(0, |(_, count)| *count)
        };
        let rejected = self.rejected().await;
        let (passed, refused): (Vec<(&str, Option<&str>)>, _) = match then {
            Refused(status, reason) => (vec![], Some((status, reason))),
            RefusedAfter(lines, status, reason) => {
                (lines.iter().map(|line| (*line, None)).collect(), Some((status, reason)))
            }
            Passed(requests) => (requests.iter().map(|(line, body)| (*line, Some(*body))).collect(), None),
        };
        let answers = passed.len() + usize::from(refused.is_some());
        let (statuses, closed) = self.send(bytes.as_bytes(), cut, answers).await;
        let received = self.upstream.received().split_off(before);
        let lines: Vec<&str> = received.iter().map(|request| request.head.start.as_str()).collect();
        let shown: String = bytes.chars().take(120).collect();
        let fail = |what: String| Err(format!("{id} {shown:?}: {what}"));
        let expected: Vec<u16> = passed.iter().map(|_| 200).chain(refused.map(|(status, _)| *status)).collect();
        if statuses != expected {
            return fail(format!("{statuses:?} instead of {expected:?}, upstream got {lines:?}"));
        }
        if lines != passed.iter().map(|(line, _)| *line).collect::<Vec<_>>() {
            return fail(format!("upstream got {lines:?}"));
        }
        for (request, (_, body)) in received.iter().zip(&passed) {
            if body.is_some_and(|body| request.body != body.as_bytes()) {
                return fail(format!("upstream got the body {:?}", String::from_utf8_lossy(&request.body)));
            }
        }
        let Some((_, reason)) = refused else { return Ok(()) };
        let rejected_now = self.rejected().await;
        if count(&rejected_now, reason) != count(&rejected, reason) + 1 {
            return fail(format!("{reason} was not counted: {rejected_now:?}"));
        }
        if closed { Ok(()) } else { fail("the connection stays open".to_owned()) }
    }

    async fn check_all(&self, rows: &[Row]) {
        let mut failures = Vec::new();
        for row in rows {
            // At once, and with a break in the middle of the head or of the body.
            for cut in [usize::MAX, 20, row.1.len() - 5] {
                failures.extend(self.check(row, cut).await.err());
            }
        }
        assert!(failures.is_empty(), "{} rows fail:\n{}", failures.len(), failures.join("\n"));
    }

    /// What the upstream received of one request.
    async fn received(&self, bytes: &str) -> Received {
        let (statuses, _) = self.send(bytes.as_bytes(), usize::MAX, 1).await;
        assert_eq!(statuses, [200], "{bytes:?}");
        self.upstream.received().pop().unwrap()
    }
}

#[tokio::test]
async fn framing_rows() {
    Stage::start().await.check_all(&framing()).await;
}

#[tokio::test]
async fn target_and_limit_rows() {
    Stage::start().await.check_all(&targets()).await;
}

#[tokio::test]
async fn header_rows() {
    let stage = Stage::start().await;
    // I1, I2
    let hop = "Connection: close, X-Secret, Host, X-Forwarded-For, Authorization\r\nX-Secret: 1\r\nAuthorization: a\r\n\
               Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nTrailer: x\r\nProxy-Authorization: x\r\nUpgrade: x\r\n";
    let head = stage.received(&with(hop)).await.head;
    for gone in ["x-secret", "keep-alive", "proxy-connection", "te", "trailer", "proxy-authorization", "upgrade"] {
        assert_eq!(head.get(gone), None, "I1/I2 {gone}");
    }
    assert_eq!((head.get("host"), head.get("authorization")), (Some("shop.test"), Some("a")), "I1");
    // I3: this peer is not trusted.
    let claims = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
                  X-Forwarded-Prefix: /evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    let head = stage.received(&with(claims)).await.head;
    let all = |name| head.all(name);
    assert_eq!((all("x-forwarded-for"), all("x-forwarded-proto")), (vec!["127.0.0.1"], vec!["http"]), "I3");
    assert_eq!((all("x-forwarded-host"), all("x-forwarded-port")), (vec!["shop.test"], vec!["80"]), "I3");
    assert_eq!(
        (all("x-real-ip"), all("forwarded"), all("x-forwarded-prefix")),
        (vec!["127.0.0.1"], vec![], vec![]),
        "I3"
    );
    // I4
    let twins = "X_Real_IP: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nX.Forwarded.For: 6.6.6.6\r\nX!Real~IP: 6.6.6.6\r\n\
                 Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Other: kept\r\n";
    let head = stage.received(&with(twins)).await.head;
    for gone in ["x_real_ip", "x-forwarded_for", "x.forwarded.for", "x!real~ip", "content_length", "transfer_encoding"]
    {
        assert_eq!(head.get(gone), None, "I4 {gone}");
    }
    assert_eq!(head.get("x_other"), Some("kept"), "I4");
    // I7
    let head = stage.received(&with("X-Name: caf\u{e9}\r\n")).await.head;
    assert_eq!(head.get("x-name"), Some("caf\u{e9}"), "I7");
    // F16
    let received = stage.received(&chunked("0\r\nX-T: 1\r\n\r\n")).await;
    assert_eq!(received.head.get("x-t"), None, "F16");
    // F25
    let head = stage
        .received(&with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"))
        .await
        .head;
    assert_eq!((head.get("upgrade"), head.get("http2-settings"), head.get("connection")), (None, None, None), "F25");
}

#[tokio::test]
async fn options_for_the_server_itself_are_answered_here() {
    let stage = Stage::start().await;
    let (statuses, _) = stage.send(format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n{NEXT}").as_bytes(), usize::MAX, 2).await;
    assert_eq!(statuses, [204, 200], "H14");
    assert_eq!(stage.upstream.received().len(), 1);
}
