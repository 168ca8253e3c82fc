//! Which TLS options each host of an entrypoint gets, from the routes that name it.
//!
//! The name in a handshake is all that is known when options are chosen, so the routes of one host have to agree. Where
//! they do not, the entrypoint's own are used, as in Traefik, and each route that asked for others is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_model::rule::Rule;
use sluice_model::{HostKey, Shards, Transport};

use super::compile::Listening;
use crate::config::Config;
use crate::live::{RouteStatus, TlsHosts};

/// The names of `[tls.options]`, whose order is their number; 0 are the entrypoint's own.
pub(super) struct OptionNames(Vec<String>);

impl OptionNames {
    pub(super) fn new(config: &Config) -> Self {
        Self(config.tls.options.keys().cloned().collect())
    }

    /// The number of options as a route names them.
    pub(super) fn number(&self, name: &str) -> Result<usize, String> {
        let local = name.strip_suffix("@file").or_else(|| name.strip_suffix("@config")).unwrap_or(name);
        if matches!(local, "" | "default") {
            return Ok(0);
        }
        let found = self.0.iter().position(|known| known == local);
        found
            .map(|at| at + 1)
            .ok_or_else(|| format!("tls options `{name}` do not exist: declare `[tls.options.{local}]`"))
    }

    /// Why a route cannot have the options it names. Serving it with others could let clients in without a certificate.
    pub(super) fn problem_of(&self, name: &str, rule: &Rule) -> Option<String> {
        match self.number(name) {
            Err(error) => Some(error),
            Ok(number) if number > 0 && rule.hosts().is_none() => Some(format!(
                "tls options `{name}` are chosen by the host, and the rule names none: add a `Host` that has to match"
            )),
            Ok(_) => None,
        }
    }
}

/// The options of every host of an entrypoint, and what is said to routes that do not get theirs. `asking` are the
/// routes that name options.
pub(super) fn hosts(
    entrypoint: &Listening,
    routes: &Shards<Arc<RouteStatus>>,
    asking: &BTreeSet<Arc<str>>,
    names: &OptionNames,
) -> (TlsHosts, Vec<(Arc<str>, String)>) {
    let here = |status: &&Arc<RouteStatus>| {
        status.is_at(&entrypoint.name) && (entrypoint.tls || status.spec.transport == Transport::Tls)
    };
    let asking = || asking.iter().filter_map(|name| routes.get(name)).filter(here);
    if asking().next().is_none() {
        return (TlsHosts::default(), Vec::new());
    }
    let mut asked: BTreeMap<HostKey, BTreeSet<usize>> = BTreeMap::new();
    for status in routes.values().filter(here) {
        let number = names.number(&status.spec.tls_options).unwrap_or(0);
        for host in hosts_of(status) {
            asked.entry(host).or_default().insert(number);
        }
    }
    let warnings = asking().flat_map(|status| {
        let torn = hosts_of(status).into_iter().filter(|host| asked.get(host).is_some_and(|all| all.len() > 1));
        torn.map(|host| (Arc::clone(&status.name), conflict(&host, entrypoint)))
    });
    let warnings = warnings.collect();
    let agreed = |all: BTreeSet<usize>| if all.len() == 1 { all.first().copied().unwrap_or(0) } else { 0 };
    (TlsHosts::new(asked.into_iter().map(|(host, all)| (host, agreed(all)))), warnings)
}

fn hosts_of(status: &RouteStatus) -> Vec<HostKey> {
    status.route.as_ref().and_then(|route| route.rule.hosts()).unwrap_or_default()
}

fn conflict(host: &HostKey, entrypoint: &Listening) -> String {
    let host = match host {
        HostKey::Name(name) => name.clone(),
        HostKey::Suffix(suffix) => format!("*{suffix}"),
    };
    let name = &entrypoint.name;
    format!(
        "routes of host `{host}` name different tls options, so entrypoint `{name}` uses its own for it: \
         name the same options in all of them"
    )
}
