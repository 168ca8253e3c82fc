//! The gateway as its users meet it, a file for each feature. Every case starts the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod article;
mod balance;
mod catalog;
mod cli;
mod consul;
mod forwarding;
mod grpc;
mod headers;
mod health;
mod http2;
mod limits;
mod operation;
mod plugins;
mod redirects;
mod refusals;
mod services;
mod streaming;
mod tcp;
mod tls;
mod upgrade;
