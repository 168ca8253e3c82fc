//! The gateway beside other proxies, in one run on one machine: what each costs for the same work.
//!
//! Proxy, load and upstream share the cores, so requests per second say how the cores were shared; the proxy's own CPU
//! time per request is the figure that carries over to other machines, and the ratio to nginx the one that is quoted.

mod contest;
mod cost;
mod hostile;
mod idle;
mod latency;
mod load;
mod output;
mod peers;
mod rows;
mod swaps;
mod usage;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::Child;
use crate::workspace::{build_gateway, cargo, ensure_wasm_target, execute, find_program, target_dir};

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure, by the names `--list` prints; everything but the swaps where none is named
    rows: Vec<String>,
    /// Print what can be measured
    #[arg(long)]
    list: bool,
    /// One short round: shows that it works, not how fast anything is
    #[arg(long)]
    quick: bool,
    /// How often each proxy is measured; the rounds alternate between them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Measure only the proxies whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// How long and how often, and where everything is.
pub(crate) struct Plan {
    rounds: usize,
    seconds: u64,
    only: Option<String>,
    place: Place,
}

/// Where a contestant finds what it needs.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) binaries: PathBuf,
    pub(crate) gateway: PathBuf,
    pub(crate) upstream: SocketAddr,
    pub(crate) listen: SocketAddr,
}

/// Builds, and measures row after row.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        rows::ROWS.iter().for_each(|row| println!("{:<16} {}", row.name, row.title));
        return Ok(());
    }
    let chosen = rows::chosen(&options.rows)?;
    let (rounds, seconds) = if options.quick { (1, 1) } else { (options.rounds, options.seconds) };
    let plan = Plan { rounds, seconds, only: options.only.clone(), place: prepare()? };
    let mut upstream = Command::new(plan.place.binaries.join("bench-upstream"));
    let _upstream = Child::spawn("bench-upstream", upstream.arg(plan.place.upstream.to_string()))?;
    println!("{} rounds of {} s a measurement", plan.rounds, plan.seconds);
    for row in chosen {
        println!("\n== {}: {}\n   target: {}", row.name, row.title, row.target);
        match row.run(&plan) {
            Err(error) if options.rows.is_empty() => println!("   left out: {error:#}"),
            result => result.with_context(|| format!("measure {}", row.name))?,
        }
    }
    Ok(())
}

fn prepare() -> Result<Place> {
    let gateway = build_shipped()?;
    execute(&mut cargo(&["build", "--release", "--package", "sluice-tests", "--bins"]))?;
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let [upstream, listen] = [8601, 8602].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let place = Place { folder, binaries: target_dir().join("release"), gateway, upstream, listen };
    make_certificate(&place)?;
    Ok(place)
}

/// The gateway as it is shipped, unless `SLUICE_BIN` names one that is built.
fn build_shipped() -> Result<PathBuf> {
    if std::env::var_os("SLUICE_BIN").is_some() {
        return build_gateway();
    }
    ensure_wasm_target()?;
    execute(&mut cargo(&["build", "--profile", "dist", "--package", "sluice-gateway"]))?;
    Ok(target_dir().join("dist/sluice"))
}

/// One certificate for all of them: the kind of key decides what a handshake costs.
fn make_certificate(place: &Place) -> Result<()> {
    let Some(openssl) = find_program("openssl") else { bail!("openssl is not installed") };
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-batch"]);
    command.args(["-days", "30", "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:*.bench.test"]);
    command.arg("-keyout").arg(place.folder.join("key.pem")).arg("-out").arg(place.folder.join("cert.pem"));
    let output = command.output().context("start openssl")?;
    if !output.status.success() {
        bail!("make a certificate: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
