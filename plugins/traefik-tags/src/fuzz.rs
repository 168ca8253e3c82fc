//! Hostile text for everything here that reads text: corpora from `corpus/`, as they are and mutated.
//!
//! Each target says what holds whatever comes in; that nothing panics, overflows or runs away holds for all. The corpora
//! are replayed by every test run; `SLUICE_FUZZ_CASES` sets how many mutations follow.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use sluice_plugin_sdk::router::{Service, Severity};

use crate::constraints::Constraints;
use crate::rule::expr::is_sound;
use crate::rule::{matchers_v2, matchers_v3, v1};
use crate::settings::Settings;
use crate::tags::Tag;
use crate::template::{Env, Template, V1_FUNCTIONS, V3_FUNCTIONS, Value};
use crate::testing::instance;

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
fn fuzz(corpus: &'static str, target: fn(&str) -> TestCaseResult) {
    for line in corpus.lines() {
        target(line).unwrap_or_else(|error| unreachable!("{line}: {error}"));
    }
    let cases = std::env::var("SLUICE_FUZZ_CASES").ok().map_or(CASES, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(&mutated(corpus), |text| target(&text)).unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn v1_rules() {
    fuzz(include_str!("../corpus/v1-rule.txt"), |text| {
        if let Ok(rule) = v1::parse(text) {
            prop_assert!(is_sound(&rule.expr.into_rule(text)));
        }
        Ok(())
    });
}

#[test]
fn v3_rules() {
    fuzz(include_str!("../corpus/v3-rule.txt"), |text| {
        if let Ok(rule) = matchers_v3::parse(text) {
            prop_assert!(is_sound(&rule.expr.into_rule(text)));
        }
        Ok(())
    });
}

#[test]
fn v2_rules() {
    fuzz(include_str!("../corpus/v2-rule.txt"), |text| {
        if let Ok(rule) = matchers_v2::parse(text) {
            prop_assert!(is_sound(&rule.expr.into_rule(text)));
        }
        Ok(())
    });
}

#[test]
fn templates() {
    fuzz(include_str!("../corpus/template.txt"), |text| {
        for functions in [V1_FUNCTIONS, V3_FUNCTIONS] {
            let env = Env { functions, prefix: "traefik" };
            let data = Value::record([
                ("ServiceName", "web".into()),
                ("Name", "web".into()),
                ("Domain", "d.test".into()),
                ("Attributes", Value::texts(["a=b", "c"].into_iter())),
                ("Labels", Value::map([("a.b", "x".into())])),
            ]);
            if let Ok(template) = Template::parse(text, &env) {
                let once = template.render(&data, &env);
                prop_assert_eq!(once, template.render(&data, &env));
            }
        }
        Ok(())
    });
}

#[test]
fn constraints() {
    fuzz(include_str!("../corpus/constraints.txt"), |text| {
        for read in [Constraints::v3(text), Constraints::v1(&[text.to_owned()])].into_iter().flatten() {
            read.accept(&[Tag::new("a"), Tag::new("traefik.tags=eu-1,b")], "traefik");
        }
        Ok(())
    });
}

#[test]
fn tags() {
    fuzz(include_str!("../corpus/tags.txt"), |text| {
        let tags: Vec<&str> = text.split('|').collect();
        let service = Service { name: "web".to_owned(), instances: vec![instance("i", &tags)] };
        for json in ["{}", r#"{"repair-commas":true,"rule-syntax":"v2","domain":"d"}"#] {
            let settings = Settings::parse(json).unwrap();
            let made = crate::contribute(&service, &settings);
            prop_assert!(made.routes.iter().all(|route| is_sound(&route.rule)));
            // Whatever is left out says why.
            let said = made.diagnostics.iter().filter(|found| found.severity == Severity::Error);
            prop_assert!(said.into_iter().all(|found| !found.message.is_empty() && !found.object.is_empty()));
        }
        Ok(())
    });
}
