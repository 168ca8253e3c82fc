//! The corpora, as they are and mutated, by every test run; `SLUICE_FUZZ_CASES` sets how many mutations follow.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Mutations of each corpus in a run without a number.
const CASES: u32 = 3_000;

/// Pieces the languages are made of, to splice in.
const PIECES: &[&str] = &[
    "(",
    ")",
    "`",
    "\"",
    "\\",
    ",",
    ";",
    ":",
    "=",
    "{",
    "}",
    "{{",
    "}}",
    "[",
    "]",
    ".",
    "..",
    "!",
    "&&",
    "||",
    "|",
    " ",
    "\n",
    "\0",
    "é",
    "𝄞",
    "/",
    "//",
    "%",
    "*",
    "$",
    "^",
    "-1",
    "99999999999999999999",
    "Host",
    "PathPrefix",
    "range",
    "end",
    "if",
    "traefik.",
    "http.routers.",
    "[0]",
    "true",
    "false",
    "(?",
    "{1000}",
    "\\d",
];

fn mutated(corpus: &'static str) -> impl Strategy<Value = String> {
    let lines: Vec<&str> = corpus.lines().collect();
    let change = (any::<prop::sample::Index>(), 0..6_usize, prop::sample::select(PIECES));
    (prop::sample::select(lines), prop::collection::vec(change, 0..5)).prop_map(|(line, changes)| {
        let mut text: Vec<char> = line.chars().collect();
        for (at, removed, piece) in changes {
            let from = at.index(text.len() + 1);
            let to = (from + removed).min(text.len());
            text.splice(from..to, piece.chars());
        }
        text.into_iter().collect()
    })
}

/// Replays a corpus and goes on with mutations of it.
fn fuzz(corpus: &'static str, target: fn(&str)) {
    corpus.lines().for_each(target);
    let cases = std::env::var("SLUICE_FUZZ_CASES").ok().map_or(CASES, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let all = runner.run(&mutated(corpus), |text| {
        target(&text);
        Ok(())
    });
    all.unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn v1_rules() {
    fuzz(include_str!("../../corpus/v1-rule.txt"), super::v1_rule);
}

#[test]
fn v2_rules() {
    fuzz(include_str!("../../corpus/v2-rule.txt"), super::v2_rule);
}

#[test]
fn v3_rules() {
    fuzz(include_str!("../../corpus/v3-rule.txt"), super::v3_rule);
}

#[test]
fn rules_of_tcp_routes() {
    fuzz(include_str!("../../corpus/tcp-rule.txt"), super::tcp_rule);
}

#[test]
fn templates() {
    fuzz(include_str!("../../corpus/template.txt"), super::template);
}

#[test]
fn constraints() {
    fuzz(include_str!("../../corpus/constraints.txt"), super::constraints);
}

#[test]
fn tags() {
    fuzz(include_str!("../../corpus/tags.txt"), super::tags);
}
