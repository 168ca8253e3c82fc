//! The harness of the end-to-end tests: the real `sluice` binary, real sockets, a real Consul agent.
//!
//! A case starts what it needs, each piece on ports and in folders of its own, and everything ends when it is
//! dropped. What goes wrong in the harness itself panics with what was attempted: it is the test's failure.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test harness fails by panicking, and shows what it knows on the terminal"
)]

pub mod bombs;
pub mod catalog;
pub mod client;
pub mod consul;
pub mod gateway;
pub mod load;
pub mod plugins;
pub mod process;
pub mod signing;
pub mod tls;
pub mod upstream;
pub mod wire;

use std::time::{Duration, Instant};

/// Long enough for a machine that is busy compiling; nothing is expected to take this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` says so, and returns how long that took.
///
/// # Panics
/// When it never does; `what` names the thing that was waited for.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}
