//! The corpora, as they are and mutated; `SLUICE_FUZZ_CASES` sets how many mutations follow.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const CASES: u32 = 3_000;

/// Pieces of messages, to splice in.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"?",
    b"#",
    b"%2e",
    b"%00",
    b"/../",
    b"//",
    b"@",
    b"\0",
    b"\xff",
    b"\x7f",
    b"http://h",
    b"Host: b\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"Upgrade: websocket\r\n",
    b"TE: trailers\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"HTTP/1.0",
    b"99999999999999999999",
];

/// Lines in which bytes that are not shown are spelled as in Rust.
fn corpus(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (length, byte) = match after.as_bytes().first().unwrap() {
            b'r' => (1, b'\r'),
            b'n' => (1, b'\n'),
            b't' => (1, b'\t'),
            b'x' => (3, u8::from_str_radix(after.get(1..3).unwrap(), 16).unwrap()),
            other => (1, *other),
        };
        out.push(byte);
        rest = after.get(length..).unwrap();
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Replays a corpus and goes on with mutations of it.
fn fuzz(text: &str, targets: &[fn(&[u8])]) {
    let corpus = corpus(text);
    corpus.iter().for_each(|bytes| targets.iter().for_each(|target| target(bytes)));
    let change = (any::<prop::sample::Index>(), 0..6_usize, prop::sample::select(PIECES));
    let mutated =
        (prop::sample::select(corpus), prop::collection::vec(change, 0..5)).prop_map(|(mut bytes, changes)| {
            for (at, removed, piece) in changes {
                let from = at.index(bytes.len() + 1);
                let to = (from + removed).min(bytes.len());
                bytes.splice(from..to, piece.iter().copied());
            }
            bytes
        });
    let cases = std::env::var("SLUICE_FUZZ_CASES").ok().map_or(CASES, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let all = runner.run(&mutated, |bytes| {
        targets.iter().for_each(|target| target(&bytes));
        Ok(())
    });
    all.unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn requests_from_clients_to_instances() {
    let targets = [crate::http::fuzz::reader, crate::http::fuzz::ingress, super::request];
    fuzz(include_str!("../../../corpus/request.txt"), &targets);
}

#[test]
fn answers() {
    fuzz(include_str!("../../../corpus/answer.txt"), &[super::answer]);
}
