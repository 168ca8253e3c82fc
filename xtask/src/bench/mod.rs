//! CPU time per request of the gateway beside that of other proxies, in one run on one machine.
//!
//! Proxy, load and upstream share the cores, so requests per second say how the cores were shared; the proxy's own CPU
//! time per request is the figure that carries over to other machines, and the ratio to nginx the one that is quoted.

mod cost;
mod load;
mod peers;
mod usage;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::process::Child;
use crate::workspace::{build_gateway, cargo, ensure_wasm_target, execute, target_dir};
use load::{Figures, Load};
use peers::{Contestant, contestants};

/// The route that is asked for, one of a thousand.
const HOST: &str = "service-500.bench.test";
/// Pools fill and branch predictors learn before anything is counted.
const WARM_UP: u64 = 1;

#[derive(Args)]
pub(crate) struct Options {
    /// One short round: shows that it works, not how fast anything is
    #[arg(long)]
    quick: bool,
    /// How often each proxy is measured; the rounds alternate between them
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Connections kept open, each with one request on its way
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Measure only the proxies whose name contains this, or `cost`: what changes and look-ups cost
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Where a contestant finds what it needs.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) binaries: PathBuf,
    pub(crate) gateway: PathBuf,
    pub(crate) upstream: SocketAddr,
    pub(crate) listen: SocketAddr,
}

/// The figures of one proxy, one entry for each round.
struct Score {
    name: &'static str,
    rounds: Vec<Round>,
}

struct Round {
    micros_of_cpu: f64,
    figures: Figures,
}

/// Builds, measures in alternating rounds, and prints the medians.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, seconds) = if options.quick { (1, 1) } else { (options.rounds, options.seconds) };
    let place = prepare()?;
    let load = Load::find(&place.binaries, options.connections);
    let mut upstream = Command::new(place.binaries.join("bench-upstream"));
    let _upstream = Child::spawn("bench-upstream", upstream.arg(place.upstream.to_string()))?;

    let wanted = |contestant: &Contestant| options.only.as_ref().is_none_or(|part| contestant.name().contains(part));
    let field: Vec<_> = contestants().into_iter().filter(wanted).collect();
    let mut scores: Vec<_> = field.iter().map(|one| Score { name: one.name(), rounds: Vec::new() }).collect();
    let (connections, load_name) = (options.connections, load.name());
    println!("{connections} connections, {seconds} s a measurement, load from {load_name}, 1,000 routes in sluice");
    for round in 1..=rounds {
        for (contestant, score) in field.iter().zip(&mut scores) {
            let measured = measure(*contestant, &place, &load, seconds);
            let measured = measured.with_context(|| format!("measure {}", contestant.name()))?;
            println!("round {round}: {:<34} {:>6.2} us/request", score.name, measured.micros_of_cpu);
            score.rounds.push(measured);
        }
    }
    if !scores.is_empty() {
        print_table(&scores);
    }
    if options.only.as_ref().is_none_or(|part| "cost".contains(part.as_str())) {
        cost::run(&place)?;
    }
    Ok(())
}

fn prepare() -> Result<Place> {
    let gateway = build_shipped()?;
    execute(&mut cargo(&["build", "--release", "--package", "sluice-tests", "--bins"]))?;
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let [upstream, listen] = [8601, 8602].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    Ok(Place { folder, binaries: target_dir().join("release"), gateway, upstream, listen })
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

fn measure(contestant: Contestant, place: &Place, load: &Load, seconds: u64) -> Result<Round> {
    let mut proxy = Child::spawn(contestant.name(), &mut contestant.command(place)?)?.ended_by_asking();
    wait_until_it_answers(&mut proxy, place.listen)?;
    load.run(place.listen, HOST, WARM_UP)?;
    let before = usage::cpu_time(proxy.id())?;
    let figures = load.run(place.listen, HOST, seconds)?;
    let spent = usage::cpu_time(proxy.id())?.saturating_sub(before);
    ensure!(figures.requests > 0, "no request was answered");
    let micros_of_cpu = spent.as_secs_f64() * 1e6 / figures.requests as f64;
    Ok(Round { micros_of_cpu, figures })
}

fn wait_until_it_answers(proxy: &mut Child, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !crate::http::request(address, "GET", HOST, "/", "").is_ok_and(|answer| answer.status == 200) {
        proxy.check()?;
        ensure!(Instant::now() < deadline, "nothing answers at {address}");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn print_table(scores: &[Score]) {
    let cpu = |score: &Score| median(score.rounds.iter().map(|round| round.micros_of_cpu));
    let nginx = scores.iter().find(|score| score.name == "nginx").map(cpu);
    println!(
        "\n{:<34} {:>10} {:>8} {:>10} {:>9} {:>9} {:>7}",
        "medians", "us CPU", "x nginx", "req/s", "p50 us", "p99 us", "errors"
    );
    for score in scores {
        let of = |figure: fn(&Figures) -> f64| median(score.rounds.iter().map(|round| figure(&round.figures)));
        let errors: u64 = score.rounds.iter().map(|round| round.figures.errors).sum();
        let ratio = nginx.map_or_else(|| "-".to_owned(), |nginx| format!("{:.2}", cpu(score) / nginx));
        println!(
            "{:<34} {:>10.2} {ratio:>8} {:>10.0} {:>9.0} {:>9.0} {errors:>7}",
            score.name,
            cpu(score),
            of(|figures| figures.requests as f64 / figures.seconds),
            of(|figures| figures.p50_micros),
            of(|figures| figures.p99_micros),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2));
    low.zip(high).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()).to_bits(), 2.5_f64.to_bits());
        assert!(median(std::iter::empty()).is_nan());
    }
}
