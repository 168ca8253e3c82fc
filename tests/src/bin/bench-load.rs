//! Load for the benchmark at a constant rate of requests a second, and in place of `wrk` where that is not installed.
//! Prints its figures as `wrk --latency` does.
//!
//! Usage: `bench-load ADDRESS HOST CONNECTIONS SECONDS [RATE [HEADER]]`
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a small command line tool")]

use std::time::Duration;

use sluice_tests::load::Load;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, host, connections, seconds, rate @ ..] = arguments.as_slice() else {
        panic!("usage: bench-load ADDRESS HOST CONNECTIONS SECONDS [RATE [HEADER]]");
    };
    let address = address.parse().expect("an address");
    let duration = Duration::from_secs(seconds.parse().expect("seconds"));
    let connections = connections.parse().expect("a number of connections");
    let header: String = rate.iter().skip(1).map(|line| format!("{line}\r\n")).collect();
    let load = match rate.first() {
        Some(rate) => Load::at_rate(address, host, &header, connections, rate.parse().expect("requests a second")),
        None => Load::start(address, host, "/", connections),
    };
    tokio::time::sleep(duration).await;
    let report = load.stop().await;

    println!("  Latency Distribution");
    for percent in [50, 99] {
        println!("     {percent}% {:>8}us", report.quantile(percent).as_micros());
    }
    let requests = report.requests() as u64 + report.refused;
    println!("  {requests} requests in {:.2}s", duration.as_secs_f64());
    println!("  Socket errors: connect 0, read {}, write 0, timeout 0", report.broken);
    println!("  Non-2xx or 3xx responses: {}", report.refused);
}
