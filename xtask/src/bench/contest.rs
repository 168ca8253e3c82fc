//! The CPU time each proxy needs for the same work, in alternating rounds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::Work;
use super::output::Figures;
use super::peers::{Contestant, installed};
use super::{Place, Plan, usage};
use crate::process::Child;

/// Pools fill and branch predictors learn before anything is counted.
const WARM_UP: u64 = 1;
/// How long a proxy may take until it answers.
const START: Duration = Duration::from_secs(20);

/// The figures of one proxy, one entry for each round.
struct Score {
    name: String,
    rounds: Vec<Round>,
}

struct Round {
    micros_of_cpu: f64,
    figures: Figures,
}

/// Measures, and prints the medians.
pub(crate) fn run(plan: &Plan, work: &Work, field: Vec<Contestant>) -> Result<()> {
    let field = wanted(plan, field);
    let mut scores: Vec<_> = field.iter().map(|one| Score { name: one.name(), rounds: Vec::new() }).collect();
    for round in 1..=plan.rounds {
        for (contestant, score) in field.iter().zip(&mut scores) {
            let measured = measure(contestant, &plan.place, work, plan.seconds);
            let measured = measured.with_context(|| format!("measure {}", score.name))?;
            println!("   round {round}: {:<32} {:>10.2} us/request", score.name, measured.micros_of_cpu);
            score.rounds.push(measured);
        }
    }
    print_table(&scores);
    Ok(())
}

/// Those that are installed and asked for.
pub(crate) fn wanted(plan: &Plan, field: Vec<Contestant>) -> Vec<Contestant> {
    let named = |one: &Contestant| plan.only.as_ref().is_none_or(|part| one.name().contains(part));
    installed(field).into_iter().filter(named).collect()
}

fn measure(contestant: &Contestant, place: &Place, work: &Work, seconds: u64) -> Result<Round> {
    let proxy = start(contestant, place, work)?;
    let before = usage::cpu_time(proxy.id())?;
    let figures = work.run(place, seconds)?;
    let spent = usage::cpu_time(proxy.id())?.saturating_sub(before);
    ensure!(figures.requests > 0, "no request was answered");
    let micros_of_cpu = spent.as_secs_f64() * 1e6 / figures.requests as f64;
    Ok(Round { micros_of_cpu, figures })
}

/// Starts a proxy and warms it up with the same work until all of it is answered.
pub(crate) fn start(contestant: &Contestant, place: &Place, work: &Work) -> Result<Child> {
    let log = place.folder.join("proxy.log");
    let mut command = contestant.command(place)?;
    let mut proxy = Child::spawn_logged(&contestant.name(), &mut command, &log)?.ended_by_asking();
    until_answered(&mut proxy, place, || work.run(place, WARM_UP))?;
    Ok(proxy)
}

/// Gives a proxy work until all of it is answered.
pub(crate) fn until_answered(proxy: &mut Child, place: &Place, work: impl Fn() -> Result<Figures>) -> Result<()> {
    let deadline = Instant::now() + START;
    loop {
        proxy.check()?;
        if work().is_ok_and(|figures| figures.requests > 0 && figures.errors == 0) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it does not answer at {}{}", place.listen, proxy.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_table(scores: &[Score]) {
    let cpu = |score: &Score| median(score.rounds.iter().map(|round| round.micros_of_cpu));
    let rate = |score: &Score| median(score.rounds.iter().map(|round| round.figures.rate()));
    let Some(first) = scores.first() else { return };
    let against = format!("x {}", first.name);
    println!(
        "   {:<32} {:>11} {against:>20} {:>10} {:>6} {:>9} {:>9} {:>7}",
        "medians", "us CPU", "req/s", "x", "p50 us", "p99 us", "errors"
    );
    for score in scores {
        let of = |figure: fn(&Figures) -> f64| median(score.rounds.iter().map(|round| figure(&round.figures)));
        let errors: u64 = score.rounds.iter().map(|round| round.figures.errors).sum();
        println!(
            "   {:<32} {:>11.2} {:>20.2} {:>10.0} {:>6.2} {:>9.0} {:>9.0} {errors:>7}",
            score.name,
            cpu(score),
            cpu(score) / cpu(first),
            rate(score),
            rate(score) / rate(first),
            of(|figures| figures.p50_micros),
            of(|figures| figures.p99_micros),
        );
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
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
