//! Clients that take their time on purpose, and what the others notice of them.

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Stage, free_address, output};
use crate::http;
use crate::process::Child;

/// Clients that hold their connections, a third in each way.
const ATTACKERS: u32 = 2000;
/// So many of them have to be there while the others are measured, or it proves nothing.
const ENOUGH: f64 = 1800.0;
/// For that many to be there; slow heads are cut off after ten seconds.
const GATHERING: Duration = Duration::from_secs(8);
/// Until the last of them has sent what it has.
const SETTLING: Duration = Duration::from_secs(1);
/// Below this many milliseconds a ratio of latencies is noise.
const NOISE_MS: f64 = 5.0;
/// Slow heads, slow bodies, slow reading.
const WAYS: [(&str, &str, &[&str]); 3] =
    [("-H", "/", &[]), ("-B", "/", &[]), ("-X", "/large", &["-w", "1", "-y", "64", "-n", "3", "-z", "5"])];

/// Compares the latency of honest clients during an attack with that during the same attack on somebody else: what the
/// attackers themselves need of this machine is no part of the attack.
pub(super) fn attack(stage: &Stage) -> Result<()> {
    let decoy = free_address()?;
    let mut python = Command::new("python3");
    python.arg(stage.folder.join("upstream.py")).arg(decoy.port().to_string());
    let _decoy = Child::spawn_logged("decoy", &mut python, &stage.folder.join("decoy.log"))?;
    sleep(SETTLING);
    let alone = latency(stage)?;
    let attackers = attackers(stage, decoy)?;
    sleep(GATHERING / 2);
    let elsewhere = latency(stage)?;
    drop(attackers);
    sleep(SETTLING);

    let attackers = self::attackers(stage, stage.gateway)?;
    let begun = Instant::now();
    let mut open = 0.0;
    while open < ENOUGH {
        ensure!(begun.elapsed() < GATHERING, "only {open} connections are open, so nobody is under attack");
        sleep(Duration::from_millis(200));
        open = open_connections(stage)?;
    }
    sleep(SETTLING);
    let during = latency(stage)?;
    drop(attackers);
    println!("p99 of honest clients: {alone:.2} ms, {elsewhere:.2} ms while others are attacked");
    println!("{during:.2} ms while {open} connections are held");
    let baseline = alone.max(elsewhere);
    ensure!(during <= 2.0 * baseline || during < NOISE_MS, "p99 rose from {baseline:.2} to {during:.2} ms");
    Ok(())
}

fn attackers(stage: &Stage, target: SocketAddr) -> Result<Vec<Child>> {
    let share = ATTACKERS.div_ceil(3).to_string();
    let mut attackers = Vec::new();
    for (way, path, options) in WAYS {
        let mut command = Command::new("nice");
        command.args(["-n", "19", "slowhttptest", way, "-c", &share, "-r", &share, "-l", "20", "-i", "2"]);
        command.args(options).arg("-u").arg(format!("http://{target}{path}"));
        let log = stage.folder.join(format!("slowhttptest{way}.log"));
        attackers.push(Child::spawn_logged("slowhttptest", &mut command, &log)?);
    }
    Ok(attackers)
}

fn open_connections(stage: &Stage) -> Result<f64> {
    let metrics = http::request(stage.admin, "GET", "localhost", "/metrics", "")?.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("sluice_open_connections{entrypoint=\"web\"} "));
    line.context("the gateway does not tell its connections")?.parse().context("read how many")
}

/// The latency honest clients see at the 99th percentile, in milliseconds.
fn latency(stage: &Stage) -> Result<f64> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c4", "-d4s", "--latency", "-H", "Host: shop.test"]).arg(stage.url("/"));
    let text = output(&mut command, &[])?;
    let answered = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    ensure!(answered.is_some_and(|(count, _)| count.parse().is_ok_and(|count: u32| count > 100)), "wrk says:\n{text}");
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "honest clients are refused:\n{text}");
    let found = text.lines().find_map(|line| line.trim().strip_prefix("99%")).map(str::trim);
    let found = found.with_context(|| format!("wrk printed no percentiles:\n{text}"))?;
    let at = found.find(|byte: char| byte.is_ascii_alphabetic()).unwrap_or(found.len());
    let (number, unit) = found.split_at(at);
    let scale = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        _ => 1000.0,
    };
    Ok(number.parse::<f64>().with_context(|| format!("read {found}"))? * scale)
}
