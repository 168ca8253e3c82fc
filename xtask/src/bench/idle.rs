//! The memory of a proxy with clients that asked once and stay, and what it would be with ten thousand of them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::contest::{start, wanted};
use super::load::{HOST, Work};
use super::peers::Contestant;
use super::{Place, Plan, usage};
use crate::process::Child;

/// As many as the gateway lets in where a process may open 20,000 files.
const CLIENTS: usize = 7_500;
/// How long nothing has happened when the memory is read: a proxy may let go of what nobody uses.
const REST: Duration = Duration::from_secs(10);
const MIB: f64 = 1024.0 * 1024.0;

/// Opens the connections at each proxy in turn, and prints what they cost.
pub(crate) fn run(plan: &Plan, field: Vec<Contestant>) -> Result<()> {
    println!(
        "   {:<32} {:>10} {:>10} {:>10} {:>13}",
        "MiB resident", "before", "with them", "at 10,000", "KiB for each"
    );
    for contestant in wanted(plan, field) {
        let proxy = start(&contestant, &plan.place, &Work::SMALL)?;
        sleep(REST);
        let before = usage::resident_bytes(proxy.id())?;
        let clients = open(&plan.place)?;
        sleep(REST);
        let with = usage::resident_bytes(proxy.id())?;
        drop(clients);
        let (before, with) = (before as f64 / MIB, with as f64 / MIB);
        let each = (with - before) * 1024.0 / CLIENTS as f64;
        let many = before + each * 10_000.0 / 1024.0;
        println!("   {:<32} {before:>10.1} {with:>10.1} {many:>10.1} {each:>13.2}", contestant.name());
    }
    Ok(())
}

/// Clients in a process of their own, which ends when it is dropped.
fn open(place: &Place) -> Result<Child> {
    let mut command = Command::new(place.binaries.join("bench-idle"));
    command.args([&place.listen.to_string(), HOST, &CLIENTS.to_string()]).stdout(Stdio::piped());
    let mut clients = Child::spawn("bench-idle", &mut command)?;
    let mut line = String::new();
    BufReader::new(clients.take_output().context("read bench-idle")?).read_line(&mut line)?;
    ensure!(line.trim() == "open", "bench-idle could not open {CLIENTS} connections: {line}");
    Ok(clients)
}
