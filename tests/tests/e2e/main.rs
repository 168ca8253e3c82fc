//! The gateway as its users meet it, a file for each feature. Every case starts the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod admin;
mod article;
mod balance;
mod catalog;
mod cli;
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
mod tcp;
mod tls;
mod upgrade;
mod verdicts;
