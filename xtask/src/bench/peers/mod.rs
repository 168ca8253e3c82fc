//! The proxies of the benchmark: which are installed here, and how each is started.

mod others;
mod sluice;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use anyhow::{Context, Result};

use super::Place;
use super::rows::ROUTES;
use crate::workspace::{find_program, root};

/// A proxy and the way it runs.
#[derive(Clone, Copy)]
pub(crate) struct Contestant {
    pub(crate) proxy: Proxy,
    /// Each request leaves a line in a file.
    pub(crate) access_log: bool,
    pub(crate) tls: bool,
    /// Of the gateway only.
    pub(crate) policies: Policies,
    /// Of the gateway only: the others have one route.
    pub(crate) routes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
    BareHyper,
    Sluice,
}

/// Decisions of Wasm plugins on every request, none of which refuses any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policies {
    None,
    RateLimit,
    CircuitBreaker,
    /// Both, and a limit of requests at the same time.
    Three,
}

impl Contestant {
    pub(crate) fn of(proxy: Proxy) -> Self {
        Self { proxy, access_log: false, tls: false, policies: Policies::None, routes: ROUTES }
    }

    pub(crate) fn name(&self) -> String {
        let policies = match self.policies {
            Policies::None => None,
            Policies::RateLimit => Some("rate-limit".to_owned()),
            Policies::CircuitBreaker => Some("circuit-breaker".to_owned()),
            Policies::Three => Some("three policies".to_owned()),
        };
        let routes = (self.routes != ROUTES).then(|| format!("{} routes", self.routes));
        let log = self.access_log.then(|| "access log".to_owned());
        let extra: Vec<_> = iter::once(self.proxy.name().to_owned()).chain(policies).chain(routes).chain(log).collect();
        extra.join(", ")
    }

    /// The command that starts it, its files written.
    pub(crate) fn command(&self, place: &Place) -> Result<Command> {
        match self.proxy {
            Proxy::Nginx => others::nginx(self, place),
            Proxy::Haproxy => others::haproxy(self, place),
            Proxy::Envoy => others::envoy(self, place),
            Proxy::Traefik => others::traefik(self, place),
            Proxy::Caddy => others::caddy(self, place),
            Proxy::BareHyper => Ok(others::bare(place)),
            Proxy::Sluice => sluice::command(self, place),
        }
    }
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::BareHyper => "bare hyper",
            Self::Sluice => "sluice",
        }
    }

    fn is_here(self) -> bool {
        matches!(self, Self::BareHyper | Self::Sluice) || find_program(self.name()).is_some()
    }

    fn program(self) -> Result<Command> {
        let name = self.name();
        Ok(Command::new(find_program(name).with_context(|| format!("find {name}"))?))
    }
}

/// Those that can be measured on this machine; the rest are named.
pub(crate) fn installed(field: Vec<Contestant>) -> Vec<Contestant> {
    let (here, missing): (Vec<_>, Vec<_>) = field.into_iter().partition(|one| one.proxy.is_here());
    for contestant in missing {
        println!("   not installed, left out: {}", contestant.name());
    }
    here
}

/// Fills in a configuration of `tests/bench/` and writes it to the folder of this run.
fn fill_in(place: &Place, name: &str, values: &[(&str, String)]) -> Result<PathBuf> {
    let template = root().join("tests/bench").join(name);
    let mut text = fs::read_to_string(&template).with_context(|| format!("read {}", template.display()))?;
    let own = [
        ("LISTEN", place.listen.to_string()),
        ("LISTEN_PORT", place.listen.port().to_string()),
        ("UPSTREAM", place.upstream.to_string()),
        ("UPSTREAM_PORT", place.upstream.port().to_string()),
        ("FOLDER", place.folder.to_string_lossy().into_owned()),
    ];
    for (key, value) in values.iter().chain(&own) {
        text = text.replace(&format!("{{{key}}}"), value);
    }
    write(&place.folder, name, &text)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
