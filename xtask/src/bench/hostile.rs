//! What others notice of a neighbour whose policy misbehaves on every request.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use super::contest::{median, until_answered};
use super::load::ask;
use super::output::Figures;
use super::{Place, Plan};
use crate::process::Child;
use crate::workspace::{build_plugins, target_dir};

/// Ways to misbehave, by the names of the guest `hostile`.
const MODES: [&str; 6] = ["loop", "fill", "memory", "recursion", "trap", "log-flood"];
/// Requests a second of the honest route and of its neighbour.
const HONEST: u32 = 2000;
const HOSTILE: u32 = 200;
const CALM: &str = "calm.bench.test";

/// Measures the honest route alone and beside each of them, and prints the medians.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    build_plugins()?;
    println!("   {HONEST} requests a second, and {HOSTILE} a second of a neighbour");
    println!("   {:<32} {:>9} {:>9} {:>7} {:>7}", "medians", "p50 us", "p99 us", "x alone", "errors");
    let mut alone = None;
    for mode in [None].into_iter().chain(MODES.map(Some)) {
        let rounds = (0..plan.rounds).map(|_| beside(plan, mode)).collect::<Result<Vec<_>>>()?;
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
        let (p50, p99) = (of(|round| round.p50_micros), of(|round| round.p99_micros));
        let name = mode.map_or_else(|| "alone".to_owned(), |mode| format!("beside {mode}"));
        let errors: u64 = rounds.iter().map(|round| round.errors).sum();
        println!("   {name:<32} {p50:>9.0} {p99:>9.0} {:>7.2} {errors:>7}", p99 / *alone.get_or_insert(p99));
    }
    Ok(())
}

/// The honest route's figures while the neighbour is asked, too, where there is one. The gateway is a new one: it knows
/// nothing of the neighbour yet.
fn beside(plan: &Plan, mode: Option<&str>) -> Result<Figures> {
    let place = &plan.place;
    let mut gateway =
        Child::spawn_logged("sluice", &mut command(place)?, &place.folder.join("proxy.log"))?.ended_by_asking();
    let honest = |seconds| ask(place, CALM, seconds, Some(HONEST), None);
    until_answered(&mut gateway, place, || honest(1))?;
    thread::scope(|scope| {
        let neighbour = mode.map(|mode| {
            let host = format!("{mode}.bench.test");
            scope.spawn(move || ask(place, &host, plan.seconds, Some(HOSTILE), Some("x-boom: yes")))
        });
        let figures = honest(plan.seconds);
        match neighbour.map(|neighbour| neighbour.join()) {
            Some(Err(_)) => bail!("the neighbour's load panicked"),
            Some(Ok(Err(error))) => Err(error),
            Some(Ok(Ok(_))) | None => figures,
        }
    })
}

fn command(place: &Place) -> Result<Command> {
    let plugins = place.folder.join("plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("create {}", plugins.display()))?;
    let guest = target_dir().join("plugins/wasm32-wasip2/plugin/guest_hostile.wasm");
    fs::copy(&guest, plugins.join("hostile.wasm")).with_context(|| format!("copy {}", guest.display()))?;
    let mut config = format!(
        "[entrypoints.web]\naddress = \"{}\"\n[admin]\naddress = \"127.0.0.1:8603\"\n\
         [providers.file]\npath = \"neighbours.toml\"\n[plugins]\ndirectory = \"plugins\"\n",
        place.listen
    );
    let (ip, port) = (place.upstream.ip(), place.upstream.port());
    let mut services = String::new();
    for name in ["calm"].into_iter().chain(MODES) {
        write!(
            services,
            "[[service]]\nname = \"{name}\"\ntags = [\"traefik.frontend.rule=Host:{name}.bench.test\"]\n\
             instances = [{{ id = \"{name}-1\", address = \"{ip}\", port = {port} }}]\n"
        )?;
    }
    for mode in MODES {
        write!(
            config,
            "[[policies]]\nname = \"{mode}\"\nplugin = \"hostile\"\nattach = [\"service:{mode}\"]\n\
             config = {{ mode = \"{mode}\" }}\n"
        )?;
    }
    let write = |name: &str, text: &str| {
        let path = place.folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write("neighbours.toml", &services)?;
    write("hostile.toml", &config)?;
    let mut command = Command::new(&place.gateway);
    command.args(["run", "--config", "hostile.toml"]).current_dir(&place.folder);
    Ok(command)
}
