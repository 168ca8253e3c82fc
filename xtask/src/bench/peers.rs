//! The proxies of the benchmark: which are installed here, and how each is started.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Place;
use crate::workspace::{find_program, root};

/// How many routes the gateway has while it is measured.
const ROUTES: usize = 1000;

/// A proxy and the way it runs.
#[derive(Clone, Copy)]
pub(crate) enum Contestant {
    Nginx(AccessLog),
    Haproxy(AccessLog),
    BareHyper,
    Sluice(Policies, AccessLog),
}

/// Whether each request leaves a line in a file.
#[derive(Clone, Copy)]
pub(crate) enum AccessLog {
    Off,
    On,
}

#[derive(Clone, Copy)]
pub(crate) enum Policies {
    None,
    /// A rate limit no request reaches, decided by the Wasm plugin.
    RateLimit,
}

impl Contestant {
    const ALL: [Self; 8] = [
        Self::Nginx(AccessLog::Off),
        Self::Nginx(AccessLog::On),
        Self::Haproxy(AccessLog::Off),
        Self::Haproxy(AccessLog::On),
        Self::BareHyper,
        Self::Sluice(Policies::None, AccessLog::Off),
        Self::Sluice(Policies::RateLimit, AccessLog::Off),
        Self::Sluice(Policies::None, AccessLog::On),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx(AccessLog::Off) => "nginx",
            Self::Nginx(AccessLog::On) => "nginx, access log",
            Self::Haproxy(AccessLog::Off) => "haproxy",
            Self::Haproxy(AccessLog::On) => "haproxy, access log",
            Self::BareHyper => "bare hyper",
            Self::Sluice(Policies::None, AccessLog::Off) => "sluice",
            Self::Sluice(Policies::None, AccessLog::On) => "sluice, access log",
            Self::Sluice(Policies::RateLimit, AccessLog::Off) => "sluice, rate-limit",
            Self::Sluice(Policies::RateLimit, AccessLog::On) => "sluice, rate-limit, access log",
        }
    }

    /// The command that starts it, its files written.
    pub(crate) fn command(self, place: &Place) -> Result<Command> {
        match self {
            Self::Nginx(log) => nginx(place, log),
            Self::Haproxy(log) => haproxy(place, log),
            Self::BareHyper => Ok(bare(place)),
            Self::Sluice(policies, log) => sluice(place, policies, log),
        }
    }

    fn is_here(self) -> bool {
        match self {
            Self::Nginx(_) => find_program("nginx").is_some(),
            Self::Haproxy(_) => find_program("haproxy").is_some(),
            Self::BareHyper | Self::Sluice(..) => true,
        }
    }
}

/// Those that can be measured on this machine; the rest are named.
pub(crate) fn contestants() -> Vec<Contestant> {
    let (here, missing): (Vec<_>, Vec<_>) = Contestant::ALL.into_iter().partition(|one| one.is_here());
    for contestant in missing {
        println!("not installed, left out: {}", contestant.name());
    }
    here
}

/// Fills in a configuration of `tests/bench/` and writes it to the folder of this run.
fn fill_in(place: &Place, name: &str, access_log: &str) -> Result<PathBuf> {
    let template = root().join("tests/bench").join(name);
    let text = fs::read_to_string(&template).with_context(|| format!("read {}", template.display()))?;
    let text = text
        .replace("{LISTEN}", &place.listen.to_string())
        .replace("{UPSTREAM}", &place.upstream.to_string())
        .replace("{FOLDER}", &place.folder.to_string_lossy())
        .replace("{ACCESS_LOG}", access_log);
    write(&place.folder, name, &text)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn nginx(place: &Place, log: AccessLog) -> Result<Command> {
    let access_log = match log {
        AccessLog::Off => "off".to_owned(),
        AccessLog::On => format!("{}/nginx.access.log", place.folder.display()),
    };
    let config = fill_in(place, "nginx.conf", &access_log)?;
    let mut command = Command::new(find_program("nginx").context("find nginx")?);
    command.arg("-e").arg(place.folder.join("nginx.error.log"));
    command.arg("-p").arg(&place.folder).arg("-c").arg(config).args(["-g", "daemon off;"]);
    Ok(command)
}

fn haproxy(place: &Place, log: AccessLog) -> Result<Command> {
    let (line, output) = match log {
        AccessLog::Off => ("", Stdio::null()),
        AccessLog::On => {
            let file = fs::File::create(place.folder.join("haproxy.access.log"))?;
            ("log stdout format raw local0", Stdio::from(file))
        }
    };
    let config = fill_in(place, "haproxy.cfg", line)?;
    let mut command = Command::new(find_program("haproxy").context("find haproxy")?);
    command.arg("-f").arg(config).args(["-db", "-q"]).stdout(output);
    Ok(command)
}

fn bare(place: &Place) -> Command {
    let mut command = Command::new(place.binaries.join("bare-proxy"));
    command.args([place.listen.to_string(), place.upstream.to_string()]);
    command
}

fn sluice(place: &Place, policies: Policies, log: AccessLog) -> Result<Command> {
    let mut config = format!("[entrypoints.web]\naddress = \"{}\"\n", place.listen);
    config += "[admin]\naddress = \"127.0.0.1:8603\"\n[providers.file]\npath = \"services.toml\"\n";
    if let Policies::RateLimit = policies {
        config += "[[policies]]\nname = \"far\"\nplugin = \"rate-limit\"\nattach = [\"entrypoint:web\"]\n";
        config += "config = { average = 1000000000, burst = 1000000000 }\n";
    }
    if let AccessLog::On = log {
        config += "[access-log]\noutput = \"sluice.access.log\"\n";
    }
    write_services(place)?;
    let path = write(&place.folder, "sluice.toml", &config)?;
    let log = fs::File::create(place.folder.join("sluice.log"))?;
    let mut command = Command::new(&place.gateway);
    command.args(["run", "--config"]).arg(path).current_dir(&place.folder);
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

fn write_services(place: &Place) -> Result<()> {
    let (ip, port) = (place.upstream.ip(), place.upstream.port());
    let mut text = String::new();
    for number in 0..ROUTES {
        write!(
            text,
            "[[service]]\nname = \"service-{number}\"\n\
             tags = [\"traefik.frontend.rule=Host:service-{number}.bench.test\"]\n\
             instances = [{{ id = \"service-{number}-1\", address = \"{ip}\", port = {port} }}]\n"
        )?;
    }
    write(&place.folder, "services.toml", &text).map(|_| ())
}
