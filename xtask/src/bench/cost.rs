//! What a change costs, and a look-up, with ten thousand services.
//!
//! A gateway reads them from a file, of which one is changed again and again; counted is the CPU time of the thread
//! that turns a catalog into a published generation, the router plugin's included. Reading the file is left out: other
//! providers are told of what changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Place;
use crate::http;
use crate::process::Child;
use crate::workspace::cargo;

const SERVICES: usize = 10_000;
const CHANGES: usize = 20;
/// As linux shows it, cut to fifteen letters.
const THREAD: &str = "sluice-control";
/// For a generation to be published; the first one asks the router plugin for every service.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures and prints both.
pub(crate) fn run(place: &Place) -> Result<()> {
    println!("   with {SERVICES} services, us of CPU");
    println!("   {:<34} {:>10.1}", "a service changes, published", of_a_change(place)?.as_secs_f64() * 1e6);
    let mut example = cargo(&["run", "--quiet", "--release", "--package", "sluice-model", "--example", "cost"]);
    let example = example.output().context("run the example `cost`")?;
    ensure!(example.status.success(), "the example `cost` failed: {}", String::from_utf8_lossy(&example.stderr));
    let model = String::from_utf8(example.stdout)?;
    for (key, name) in [("change", "of that: linked and filed"), ("lookup", "a route is looked up")] {
        let nanos = model.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok());
        let nanos = nanos.with_context(|| format!("the example says nothing of `{key}`"))?;
        println!("   {name:<34} {:>10.2}", nanos / 1e3);
    }
    Ok(())
}

fn of_a_change(place: &Place) -> Result<Duration> {
    write_services(place, 0)?;
    let config = format!(
        "[entrypoints.web]\naddress = \"{}\"\n[providers.file]\npath = \"many.toml\"\n[log]\nlevel = \"error\"\n",
        place.listen
    );
    fs::write(place.folder.join("cost.toml"), config)?;
    let mut command = Command::new(&place.gateway);
    command.args(["run", "--config", "cost.toml"]).current_dir(&place.folder);
    let mut gateway = Child::spawn_logged("sluice", &mut command, &place.folder.join("cost.log"))?;
    wait_for(place, &mut gateway, 0)?;
    let before = spent(gateway.id())?;
    for change in 1..=CHANGES {
        write_services(place, change)?;
        wait_for(place, &mut gateway, change)?;
    }
    Ok((spent(gateway.id())? - before) / u32::try_from(CHANGES)?)
}

/// One of the services has another host after every change.
fn write_services(place: &Place, change: usize) -> Result<()> {
    let mut text = String::new();
    for number in 0..SERVICES {
        let host = if number == SERVICES / 2 { format!("changed-{change}") } else { format!("service-{number}") };
        write!(
            text,
            "[[service]]\nname = \"service-{number}\"\ntags = [\"traefik.frontend.rule=Host:{host}.bench.test\"]\n\
             instances = [{{ id = \"{number}\", address = \"127.0.0.1\", port = 9 }}]\n"
        )?;
    }
    let path = place.folder.join("many.toml");
    fs::write(path.with_extension("new"), text)?;
    fs::rename(path.with_extension("new"), &path).with_context(|| format!("write {}", path.display()))
}

/// Nobody listens at the instances: whatever is not `404` has found its route.
fn wait_for(place: &Place, gateway: &mut Child, change: usize) -> Result<()> {
    let host = format!("changed-{change}.bench.test");
    let deadline = Instant::now() + PATIENCE;
    while http::request(place.listen, "GET", &host, "/", "").ok().is_none_or(|answer| answer.status == 404) {
        gateway.check()?;
        ensure!(Instant::now() < deadline, "the gateway does not route {host} after {PATIENCE:?}");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The CPU time of the gateway's control thread.
fn spent(process: u32) -> Result<Duration> {
    let is_it = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == THREAD);
    let tasks = fs::read_dir(format!("/proc/{process}/task")).context("read the gateway's threads")?;
    let thread =
        tasks.flatten().map(|task| task.path()).find(|path| is_it(path)).context("it has no control thread")?;
    let text = fs::read_to_string(thread.join("schedstat")).context("this system does not count what threads spend")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}
