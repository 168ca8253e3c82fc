//! The plugin against an independent model: random services, tags and requests, answered by both.
//!
//! `case` describes a catalog in terms of what its tags are to mean and writes the tags; `oracle` says from the
//! description what has to come of it, by the specification (`../shared/traefik-tags.md`) and without looking at a tag;
//! here the tags go through the plugin and the gateway's own route table. They never share code.
//!
//! `SLUICE_DIFFERENTIAL_CASES` sets the number of catalogs, each with a dozen requests. `SLUICE_DIFFERENTIAL_EMIT` names
//! a file to write catalogs to instead, for `cargo xtask differential`, which asks a real Traefik.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "tests")]

mod case;
mod emit;
mod oracle;
mod rules;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::native::{self, Answer};
use crate::testing::contribution;
use case::Case;

/// Catalogs in a run without a number: a few seconds in a debug build.
const CASES: u32 = 500;

fn cases() -> u32 {
    std::env::var("SLUICE_DIFFERENTIAL_CASES").ok().map_or(CASES, |text| text.parse().unwrap())
}

/// What the plugin and the route table make of a case.
fn actual(case: &Case) -> Vec<Vec<String>> {
    let settings = case.options.to_json();
    let contributions: Vec<_> =
        case.services.iter().map(|service| contribution(&settings, &service.to_service())).collect();
    let asked = case.requests.iter().map(|request| {
        let answer = native::answer(&contributions, &request.to_native()).unwrap();
        match answer {
            Answer::NotFound => vec!["404".to_owned()],
            Answer::Redirect => vec!["301".to_owned()],
            Answer::Served { route, service, .. } => {
                let routes = contributions.iter().flat_map(|one| &one.routes);
                let steps = &routes.clone().find(|one| one.name == route).unwrap().steps;
                let mut shown = vec![format!("{route} -> {service}")];
                shown.extend(steps.iter().map(|step| oracle::shown_action(&contributions, step)));
                let services = contributions.iter().flat_map(|one| &one.services);
                let targets = services.filter(|one| one.name == service).flat_map(|one| one.targets());
                let mut targets: Vec<_> = targets.map(oracle::shown_target).collect();
                targets.sort();
                shown.extend(targets);
                shown
            }
        }
    });
    asked.collect()
}

#[test]
fn the_plugin_and_the_model_agree() {
    let config = Config {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&case::cases(), |case| {
        let (expected, actual) = (oracle::answers(&case), actual(&case));
        for (at, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            prop_assert_eq!(expected, actual, "request {}: {:?}\n{}", at, &case.requests[at], case);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A model that says 404 of everything would agree with a plugin that routes nothing.
#[test]
fn the_cases_are_not_all_alike() {
    let mut runner = TestRunner::deterministic();
    let (mut served, mut redirected, mut refused) = (0, 0, 0);
    for _ in 0..200 {
        let case = case::cases().new_tree(&mut runner).unwrap().current();
        for answer in oracle::answers(&case) {
            match answer[0].as_str() {
                "404" => refused += 1,
                "301" => redirected += 1,
                _ => served += 1,
            }
        }
    }
    assert!(
        served > 300 && redirected > 5 && refused > 300,
        "{served} served, {redirected} redirected, {refused} refused"
    );
}
