//! The gateway as its users meet it, a file for each feature. Every case starts the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use sluice_tests::plugins::{Guest, guest};

mod admin;
mod article;
mod author;
mod balance;
mod catalog;
mod cli;
mod connect;
mod consul;
mod contents;
mod entrypoint;
mod exhaustion;
mod forwarding;
mod grpc;
mod headers;
mod health;
mod hostile;
mod hostile_files;
mod hostile_plugins;
mod http2;
mod http2_abuse;
mod identity;
mod limits;
mod operation;
mod plugin_trust;
mod plugins;
mod policies;
mod redirects;
mod refusals;
mod retries;
mod services;
mod slow;
mod streaming;
mod strict;
mod tags;
mod targets;
mod tcp;
mod tls;
mod upgrade;
mod verdicts;

/// A test of each guest. One that has none does not compile.
fn test_of(guest: Guest) -> fn() {
    match guest {
        Guest::Hostile => hostile_plugins::each_costs_the_request_that_met_it_and_nothing_else,
        Guest::Scripted => verdicts::exchanges_go_to_other_services,
        Guest::Waiting => verdicts::policies_wait_for_answers_of_others,
    }
}

#[test]
fn every_guest_is_there_and_has_a_test_of_its_own() {
    let tests: std::collections::HashSet<usize> =
        Guest::ALL.iter().map(|(guest, _)| test_of(*guest) as usize).collect();
    assert_eq!(tests.len(), Guest::ALL.len());
    for (_, name) in Guest::ALL {
        assert!(guest(name).starts_with(b"\0asm"), "{name}");
    }
}
