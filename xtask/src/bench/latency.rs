//! How long requests take at a rate everybody can keep up with: half of what nginx does when it is given all it takes.

use anyhow::{Context, Result};

use super::Plan;
use super::contest::{median, start, wanted};
use super::load::{Work, own};
use super::peers::{Contestant, Proxy};

/// Measures at the constant rate, and prints the medians.
pub(crate) fn run(plan: &Plan, field: Vec<Contestant>) -> Result<()> {
    let rate = half_of_saturation(plan)?;
    println!("   {rate} requests a second");
    println!("   {:<32} {:>9} {:>9} {:>9} {:>7}", "medians", "p50 us", "p99 us", "req/s", "errors");
    for contestant in wanted(plan, field) {
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            let proxy = start(&contestant, &plan.place, &Work::SMALL)?;
            rounds.push(own(&plan.place, plan.seconds, Some(rate))?);
            drop(proxy);
        }
        println!(
            "   {:<32} {:>9.0} {:>9.0} {:>9.0} {:>7}",
            contestant.name(),
            median(rounds.iter().map(|figures| figures.p50_micros)),
            median(rounds.iter().map(|figures| figures.p99_micros)),
            median(rounds.iter().map(super::output::Figures::rate)),
            rounds.iter().map(|figures| figures.errors).sum::<u64>(),
        );
    }
    Ok(())
}

fn half_of_saturation(plan: &Plan) -> Result<u32> {
    let nginx = Contestant::of(Proxy::Nginx);
    let _proxy = start(&nginx, &plan.place, &Work::SMALL).context("start nginx, whose rate is the measure")?;
    let figures = own(&plan.place, plan.seconds, None)?;
    Ok((figures.rate() / 2.0) as u32)
}
