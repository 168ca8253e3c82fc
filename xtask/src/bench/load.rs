//! The load: `wrk` where it is installed, else a generator of our own that prints the same lines.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace::find_program;

pub(crate) struct Load {
    wrk: Option<PathBuf>,
    own: PathBuf,
    connections: usize,
}

/// What one run of the load saw.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// Broken connections and answers other than 2xx and 3xx.
    pub(crate) errors: u64,
}

impl Load {
    pub(crate) fn find(binaries: &Path, connections: usize) -> Self {
        Self { wrk: find_program("wrk"), own: binaries.join("bench-load"), connections }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.wrk.is_some() { "wrk" } else { "bench-load" }
    }

    pub(crate) fn run(&self, address: SocketAddr, host: &str, seconds: u64) -> Result<Figures> {
        let connections = self.connections.to_string();
        let mut command = match &self.wrk {
            Some(wrk) => {
                let mut command = Command::new(wrk);
                command.args(["--threads=1", "--latency", "--connections", &connections]);
                command.arg(format!("--duration={seconds}s")).arg(format!("--header=Host: {host}"));
                command.arg(format!("http://{address}/"));
                command
            }
            None => {
                let mut command = Command::new(&self.own);
                command.args([&address.to_string(), host, &connections, &seconds.to_string()]);
                command
            }
        };
        let output = command.output().with_context(|| format!("start {}", self.name()))?;
        ensure!(output.status.success(), "{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).with_context(|| format!("read the output of {}:\n{text}", self.name()))
    }
}

fn parse(text: &str) -> Option<Figures> {
    let mut figures = Figures::default();
    for line in text.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("50%") {
            figures.p50_micros = micros(value)?;
        } else if let Some(value) = line.strip_prefix("99%") {
            figures.p99_micros = micros(value)?;
        } else if let Some((requests, rest)) = line.split_once(" requests in ") {
            figures.requests = requests.parse().ok()?;
            figures.seconds = micros(rest.split(',').next()?)? / 1e6;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            let numbers = counts.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
            figures.errors += numbers.sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            figures.errors += count.parse::<u64>().ok()?;
        }
    }
    (figures.seconds > 0.0).then_some(figures)
}

/// Reads `512.00us`, `1.20ms`, `6.01s` or `1.00m`.
fn micros(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_prints() {
        let text = "Running 6s test @ http://127.0.0.1:8602/\n  1 threads and 32 connections\n\
                    \x20 Latency Distribution\n     50%  640.00us\n     90%    1.05ms\n     99%    2.50ms\n\
                    \x20 240000 requests in 6.01s, 31.00MB read\n  Socket errors: connect 0, read 2, write 0, timeout 1\n\
                    \x20 Non-2xx or 3xx responses: 5\nRequests/sec:  39933.00\n";
        let expected = Figures { requests: 240_000, seconds: 6.01, p50_micros: 640.0, p99_micros: 2500.0, errors: 8 };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn text_without_a_total_is_no_result() {
        assert_eq!(parse("unable to connect to 127.0.0.1:8602\n"), None);
    }
}
