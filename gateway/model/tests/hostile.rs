//! Hostile text for what reads paths and expressions, and arenas that refer anywhere for what compiles rules. The
//! corpora are replayed as they are and mutated; `SLUICE_FUZZ_CASES` sets how many mutations follow.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use sluice_model::path::NormalPath;
use sluice_model::retry::{Attempt, RetryExpression};
use sluice_model::rule::Rule;
use sluice_model::tcp::TcpRule;
use sluice_model::{PathView, RuleNode, RuleSpec};

const CASES: u32 = 3_000;

const PIECES_OF_PATHS: &[&str] =
    &["/", "//", ".", "..", "%", "%2e", "%2F", "%5C", "%00", "%25", "\\", "\0", ";", "?", "#", "é", "𝄞"];

const PIECES_OF_EXPRESSIONS: &[&str] = &[
    "IsNetworkError()",
    "Attempts() <= 2",
    "ResponseCode() == 503",
    "RequestMethod() != \"GET\"",
    " && ",
    " || ",
    "!",
    "(",
    ")",
    "`",
    "99999999999999999999",
    "é",
];

fn runner() -> TestRunner {
    let cases = std::env::var("SLUICE_FUZZ_CASES").ok().map_or(CASES, |text| text.parse().unwrap());
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// A normal path says the same when it is read again, and never leads out of where it is.
fn path(text: &str) -> TestCaseResult {
    let Ok(path) = NormalPath::parse(text) else { return Ok(()) };
    prop_assert!(path.as_str().starts_with('/') || text == "*", "{:?} from {:?}", path.as_str(), text);
    let climbs = path.as_str().split('/').any(|segment| segment == "." || segment == "..");
    prop_assert!(!climbs, "{:?} from {:?}", path.as_str(), text);
    let again = NormalPath::parse(path.as_str());
    prop_assert!(again.is_ok_and(|again| again.as_str() == path.as_str()), "{:?} from {:?}", path.as_str(), text);
    Ok(())
}

/// Expressions of buffering's retries: the same in parentheses, unless they are nested too deeply then.
fn retry_expression(text: &str) -> TestCaseResult {
    let Ok(expression) = RetryExpression::parse(text) else { return Ok(()) };
    for (number, code, method) in [(1, 502, "GET"), (2, 503, "POST"), (u64::MAX, 599, "")] {
        let attempt = Attempt { number, code, method };
        if let Ok(again) = RetryExpression::parse(&format!(" ( {text} ) ")) {
            prop_assert_eq!(expression.holds(&attempt), again.holds(&attempt), "{}", text);
        } else {
            prop_assert!(text.matches(['(', '!']).count() >= 32, "{}", text);
        }
    }
    Ok(())
}

fn mutated(corpus: &'static str, pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let lines: Vec<&str> = corpus.lines().collect();
    let change = (any::<prop::sample::Index>(), 0..4_usize, prop::sample::select(pieces));
    (prop::sample::select(lines), prop::collection::vec(change, 0..6)).prop_map(|(line, changes)| {
        let mut text: Vec<char> = line.chars().collect();
        for (at, removed, piece) in changes {
            let from = at.index(text.len() + 1);
            let to = (from + removed).min(text.len());
            text.splice(from..to, piece.chars());
        }
        text.into_iter().collect::<String>()
    })
}

/// Replays a corpus and goes on with mutations of it.
fn fuzz(corpus: &'static str, pieces: &'static [&'static str], target: fn(&str) -> TestCaseResult) {
    for line in corpus.lines() {
        target(line).unwrap_or_else(|error| unreachable!("{line}: {error}"));
    }
    runner().run(&mutated(corpus, pieces), |text| target(&text)).unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn paths() {
    fuzz(include_str!("../corpus/path.txt"), PIECES_OF_PATHS, path);
}

#[test]
fn retry_expressions() {
    fuzz(include_str!("../corpus/retry-expression.txt"), PIECES_OF_EXPRESSIONS, retry_expression);
}

fn node() -> impl Strategy<Value = RuleNode> {
    let text = || ".{0,12}";
    let ids = || prop::collection::vec(0..8_u32, 0..4);
    prop_oneof![
        ids().prop_map(RuleNode::All),
        ids().prop_map(RuleNode::Any),
        any::<u32>().prop_map(RuleNode::Not),
        text().prop_map(RuleNode::Host),
        text().prop_map(RuleNode::HostExact),
        text().prop_map(RuleNode::HostRegexp),
        text().prop_map(|text| RuleNode::PathRegexp(text, PathView::Decoded)),
        text().prop_map(|text| RuleNode::PathPrefix(text, PathView::Routing)),
        text().prop_map(RuleNode::ClientIp),
        text().prop_map(RuleNode::Alpn),
    ]
}

#[test]
fn rules_of_routes_and_of_tcp_routes() {
    let arenas = (prop::collection::vec(node(), 0..8), 0..9_u32);
    let result = runner().run(&arenas, |(nodes, root)| {
        let outside = usize::try_from(root).unwrap() >= nodes.len();
        let spec = RuleSpec { text: String::new(), nodes, root };
        prop_assert!(!outside || (Rule::compile(&spec).is_err() && TcpRule::compile(&spec).is_err()));
        // Whatever else it is, it is compiled or refused.
        drop((Rule::compile(&spec), TcpRule::compile(&spec)));
        Ok(())
    });
    result.unwrap_or_else(|error| unreachable!("{error}"));
}
