//! `http-strictness.md` 2d, a case for each row: HTTP/2 frames written by hand, and what the upstream got.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::Upstream;
use sluice_tests::wire::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that nobody indexes.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| match text.len() {
        len @ 0..127 => [&[u8::try_from(len).unwrap()], text.as_bytes()].concat(),
        len => {
            let rest = len - 127;
            let mut bytes = vec![127, u8::try_from(rest % 128).unwrap() | 128];
            assert!(rest / 128 < 128 * 128);
            bytes.push(u8::try_from(rest / 128 % 128).unwrap() | 128);
            bytes.push(u8::try_from(rest / 128 / 128).unwrap());
            [&bytes, text.as_bytes()].concat()
        }
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, END_HEADERS | flags, stream, &block(fields))
}

fn opening() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[])].concat()
}

const PLAIN: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.test")];

/// The first thing that says how the gateway took it.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Heard {
    /// HEADERS, with the status where it is one of HPACK's table.
    Answer(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

/// Reads up to the first answer, reset or goodbye with an error.
async fn hear(wire: &mut Wire) -> Heard {
    loop {
        let Ok(header) = wire.read_exactly(9).await else { return Heard::Closed };
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let Ok(payload) = wire.read_exactly(len).await else { return Heard::Closed };
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match header[3] {
            1 => {
                let status = match payload[0] & 0x3f {
                    _ if payload[0] < 0x80 => 0,
                    index => [200, 204, 206, 304, 400, 404, 500]
                        .get(usize::from(index).wrapping_sub(8))
                        .copied()
                        .unwrap_or(0),
                };
                return Heard::Answer(status);
            }
            3 => return Heard::Reset(code(0)),
            7 => return Heard::GoAway(code(4)),
            _ => {}
        }
    }
}

struct Stage {
    gateway: Gateway,
    upstream: Upstream,
}

impl Stage {
    async fn start() -> Self {
        let upstream = Upstream::echo().await;
        let limits = "[entrypoints.web.timeouts]\nheader = \"1s\"\nsend-idle = \"1s\"";
        let services = [Service::on_host("shop", "shop.test").at(&upstream)];
        let gateway = Setup::with_services(&services).config(limits).start().await;
        Self { gateway, upstream }
    }

    async fn open(&self) -> Wire {
        let mut wire = Wire::connect(self.gateway.web()).await.unwrap();
        wire.write(opening()).await.unwrap();
        wire
    }

    async fn send(&self, frames: &[u8]) -> Heard {
        let mut wire = self.open().await;
        // It may be closed before everything is written.
        let _ = wire.write(frames).await;
        hear(&mut wire).await
    }
}

#[tokio::test]
async fn malformed_requests_reach_nobody() {
    let stage = Stage::start().await;
    let mut failures = Vec::new();
    let with = |change: &[(&'static str, &'static str)]| {
        let mut fields = PLAIN.to_vec();
        for (name, value) in change {
            match fields.iter_mut().find(|field| field.0 == *name) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            }
        }
        headers(END_STREAM, 1, &fields)
    };
    let raw = |fields: &[(&str, &str)]| headers(END_STREAM, 1, fields);
    let [method, scheme, path, authority] = PLAIN;
    let post = |fields: &[(&str, &str)], data: &[u8]| {
        let mut all = vec![(":method", "POST"), scheme, path, authority];
        all.extend(fields);
        [headers(0, 1, &all), frame(0, END_STREAM, 1, data)].concat()
    };
    let many: Vec<(&str, &str)> = PLAIN.into_iter().chain(std::iter::repeat_n(("x", "y"), 101)).collect();
    let big = "a".repeat(15_000);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("2-6 count", raw(&many)),
        ("2-7", raw(&[method, scheme, path, authority, ("x", &big), ("y", &big[..3000])])),
        ("2-8 path", with(&[(":path", "a")])),
        ("2-8 scheme", with(&[(":scheme", "http://x/?")])),
        ("2-8 method", with(&[(":method", "G T")])),
        ("2-8 path SP", with(&[(":path", "/ a")])),
        ("2-8 path CRLF", with(&[(":path", "/\r\na")])),
        ("2-8 value", with(&[("x", "a\r\nb: c")])),
        ("2-8 upper case", with(&[("X", "a")])),
        ("2-8 empty name", with(&[("", "a")])),
        ("2-8 colon", with(&[("a:b", "a")])),
        ("2-8 space", with(&[("a b", "a")])),
        ("2-8 twice", raw(&[method, scheme, path, path, authority])),
        ("2-8 after", raw(&[method, scheme, path, ("x", "y"), authority])),
        ("2-8 unknown", raw(&[method, scheme, path, (":x", "y"), authority])),
        ("2-9", with(&[("connection", "close")])),
        ("2-9", with(&[("transfer-encoding", "chunked")])),
        ("2-9", with(&[("upgrade", "x")])),
        ("2-9", with(&[("te", "gzip")])),
        ("2-10 short", post(&[("content-length", "5")], b"abc")),
        ("2-10 long", post(&[("content-length", "2")], b"abc")),
        ("2-10 twice", post(&[("content-length", "3"), ("content-length", "4")], b"abc")),
        ("2-10 none", with(&[("content-length", "3")])),
        ("2-12", raw(&[method, scheme, path])),
        ("2-13", with(&[(":authority", "user@shop.test")])),
        ("2-13", with(&[(":authority", "shop.test:80x")])),
        ("2-14", with(&[(":path", "*")])),
        ("2-16", raw(&[(":method", "CONNECT"), (":authority", "shop.test:443")])),
        ("2-16", raw(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, path, authority])),
    ];
    for (id, frames) in &rows {
        let heard = stage.send(frames).await;
        if heard == Heard::Answer(200) {
            failures.push(format!("{id}: {heard:?}"));
        }
    }
    let whole: Vec<_> = stage.upstream.received().iter().map(|request| request.head.start.clone()).collect();
    assert!(failures.is_empty() && whole.is_empty(), "{failures:?}, upstream got {whole:?}");
    assert_eq!(stage.send(&raw(&PLAIN)).await, Heard::Answer(200));
}

#[tokio::test]
async fn what_http_1_says_otherwise_is_rewritten() {
    let stage = Stage::start().await;
    let [method, scheme, path, authority] = PLAIN;
    let crumbs = [method, scheme, path, authority, ("host", "other.test"), ("cookie", "a=1"), ("cookie", "b=2")];
    assert_eq!(stage.send(&headers(END_STREAM, 1, &crumbs)).await, Heard::Answer(200));
    let head = &stage.upstream.received()[0].head;
    assert_eq!(head.all("host"), ["shop.test"], "2-11");
    assert_eq!(head.all("cookie"), ["a=1; b=2"], "2-15");
}

#[tokio::test]
async fn an_empty_frame_ends_no_body() {
    let stage = Stage::start().await;
    let [_, scheme, path, authority] = PLAIN;
    let data = |flags, bytes: &[u8]| frame(0, flags, 1, bytes);
    let frames = [
        headers(0, 1, &[(":method", "POST"), scheme, path, authority]),
        data(0, b""),
        data(0, b"abc"),
        data(0, b""),
        data(0, b""),
        data(0, b"def"),
        data(END_STREAM, b""),
    ];
    assert_eq!(stage.send(&frames.concat()).await, Heard::Answer(200));
    let received = &stage.upstream.received()[0];
    assert_eq!((received.head.get("transfer-encoding"), &received.body[..]), (Some("chunked"), &b"abcdef"[..]));
}

#[tokio::test]
async fn floods_are_ended() {
    let stage = Stage::start().await;
    let get = |stream| headers(END_STREAM, stream, &PLAIN);
    let reset = |stream| frame(3, 0, stream, &8_u32.to_be_bytes());
    let rapid: Vec<u8> = (0..1000).flat_map(|n| [get(2 * n + 1), reset(2 * n + 1)].concat()).collect();
    let [_, scheme, path, authority] = PLAIN;
    let post = |stream| headers(0, stream, &[(":method", "POST"), scheme, path, authority]);
    let provoked: Vec<u8> =
        (0..3000).flat_map(|n| [post(2 * n + 1), frame(8, 0, 2 * n + 1, &[0; 4])].concat()).collect();
    let unfinished = frame(1, END_STREAM, 1, &block(&PLAIN));
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("2-1", rapid),
        ("2-2", [unfinished.clone(), frame(9, 0, 1, &block(&[("x", &"a".repeat(1000))])).repeat(1000)].concat()),
        ("2-2 empty", [unfinished, frame(9, 0, 1, &[]).repeat(10_000)].concat()),
        ("2-3", provoked),
        ("2-4", [post(1), frame(0, 0, 1, &[]).repeat(60_000)].concat()),
        ("2-5 SETTINGS", frame(4, 0, 0, &[]).repeat(5000)),
        ("2-5 PING", frame(6, 0, 0, &[0; 8]).repeat(5000)),
        ("2-5 PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 1]).repeat(5000)),
    ];
    for (id, frames) in rows {
        let mut wire = stage.open().await;
        let _ = wire.write(&frames).await;
        let mut heard = hear(&mut wire).await;
        while matches!(heard, Heard::Answer(_) | Heard::Reset(_)) {
            heard = hear(&mut wire).await;
        }
        assert!(matches!(heard, Heard::GoAway(1..) | Heard::Closed), "{id}: {heard:?}");
    }
    assert_eq!(stage.send(&get(1)).await, Heard::Answer(200), "others are served");
    let metrics = Request::get("admin", "/metrics").send(stage.gateway.admin()).await.text();
    // PING, SETTINGS and PRIORITY; the others are the library's to notice.
    assert!(metrics.contains("sluice_rejected_total{reason=\"h2_flood\"} 3"), "2-5: {metrics}");
}

#[tokio::test]
async fn clients_that_stand_still_are_let_go() {
    let body = "x".repeat(1 << 20);
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let answer = sluice_tests::upstream::answer(200, &body);
        async move {
            while let Ok(Some(_)) = wire.read_head().await {
                if wire.write(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let limits = "[entrypoints.web.timeouts]\nheader = \"1s\"\nsend-idle = \"1s\"";
    let services = [Service::on_host("shop", "shop.test").at(&upstream)];
    let gateway = Setup::with_services(&services).config(limits).start().await;
    let start = Instant::now();
    let ended = async |frames: Vec<u8>| {
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        wire.write(frames).await.unwrap();
        let mut last = Heard::Closed;
        loop {
            match hear(&mut wire).await {
                Heard::Closed => return (last, start.elapsed()),
                heard => last = heard,
            }
        }
    };
    let unfinished = [opening(), frame(1, END_STREAM, 1, &block(&PLAIN))].concat();
    let (silent, half) = tokio::join!(ended(opening()), ended(unfinished));
    for (id, (_, after)) in [("2-18", silent), ("2-18 half", half)] {
        assert!(after >= Duration::from_secs(1) && after < Duration::from_secs(8), "{id}: {after:?}");
    }
    // 2-17: a window of 64 KiB that is never made wider.
    let mut wire = Wire::connect(gateway.web()).await.unwrap();
    wire.write([opening(), headers(END_STREAM, 1, &PLAIN)].concat()).await.unwrap();
    assert_eq!(hear(&mut wire).await, Heard::Answer(200));
    let start = Instant::now();
    assert!(matches!(hear(&mut wire).await, Heard::Reset(_)), "2-17");
    assert!(start.elapsed() < Duration::from_secs(6), "2-17: {:?}", start.elapsed());
}

/// As many streams as one connection may have, each with as many headers as it may have, all of them the same entry of the
/// table, and a window that lets one byte of an answer through.
fn bomb() -> Vec<u8> {
    let value = "v".repeat(3000);
    let literal = |name: &str, value: &str| block(&[(name, value)]);
    let mut indexed = literal("x", &value);
    indexed[0] = 0x40; // into the table, where it is number 62
    let mut frames = vec![[PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 1])].concat()];
    for number in 0..100 {
        let first = if number == 0 { indexed.clone() } else { vec![0x80 | 62] };
        let fields = [block(&PLAIN), first, vec![0x80 | 62; 4]].concat();
        frames.push(frame(1, END_HEADERS | END_STREAM, 2 * number + 1, &fields));
    }
    frames.concat()
}

#[tokio::test]
async fn a_connection_holds_little_however_much_it_asks_for() {
    const BOMBS: usize = 16;
    let reached = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&reached), Arc::new(sluice_tests::upstream::answer(200, &"x".repeat(1 << 20))));
    let upstream = Upstream::custom(move |mut wire: Wire| {
        let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
        async move {
            while let Ok(Some(_)) = wire.read_head().await {
                count.fetch_add(1, Ordering::Relaxed);
                if wire.write(&*answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;
    let throw = async || {
        let before = reached.load(Ordering::Relaxed);
        let mut wire = Wire::connect(gateway.web()).await.unwrap();
        wire.write(bomb()).await.unwrap();
        sluice_tests::until("every stream has reached the upstream", async || {
            reached.load(Ordering::Relaxed) - before == 100
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire
    };
    // What is needed once, by the allocator and for connections to the upstream, is not what is looked for.
    let mut held = vec![throw().await];
    let before = gateway.resident_bytes();
    for _ in 0..BOMBS {
        held.push(throw().await);
    }
    let each = gateway.resident_bytes().saturating_sub(before) / BOMBS as u64;
    eprintln!("2-6: {} KiB for a connection of 100 stalled streams", each >> 10);
    assert!(each < 3 << 20, "2-6: {each} bytes for each connection");
}

#[tokio::test]
async fn malicious_upstreams_get_nothing_through() {
    let mut upstreams = Vec::new();
    let mut services = Vec::new();
    let hints = headers(0, 1, &[(":status", "103"), ("link", "</a>")]).repeat(3000);
    let pushed = frame(5, END_HEADERS, 1, &[&2_u32.to_be_bytes()[..], &block(&PLAIN)].concat());
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("frame-size", frame(4, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("window", frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("push", [frame(4, 0, 0, &[]), pushed].concat()),
        ("garbage", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("hints", [frame(4, 0, 0, &[]), hints].concat()),
        ("odd-status", [frame(4, 0, 0, &[]), headers(END_STREAM, 1, &[(":status", "99")])].concat()),
        ("no-status", [frame(4, 0, 0, &[]), headers(END_STREAM, 1, &[("x", "y")])].concat()),
    ];
    for (name, frames) in &rows {
        let frames = frames.clone();
        let upstream = Upstream::custom(move |mut wire: Wire| {
            let frames = frames.clone();
            async move {
                // The preface, and as much as it takes for a request to have been sent.
                if wire.read_exactly(PREFACE.len() + 60).await.is_ok() && wire.write(&frames).await.is_ok() {
                    while wire.read_exactly(1).await.is_ok() {}
                }
            }
        })
        .await;
        let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
        let scheme = format!("traefik.http.services.{name}.loadbalancer.server.scheme=h2c");
        services.push(Service::new(name, &[&rule, &scheme]).at(&upstream));
        upstreams.push(upstream);
    }
    let gateway = Setup::with_services(&services).config("[upstream]\nresponse-timeout = \"2s\"").start().await;
    let mut failures = Vec::new();
    for (name, _) in &rows {
        let status = gateway.get(&format!("{name}.test"), "/").await.status();
        if !matches!(status, 502 | 504) {
            failures.push(format!("2-19 {name}: {status}"));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
