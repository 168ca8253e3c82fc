//! What is measured: each row is one kind of work and the proxies that do it, the first of which is what the others are
//! compared with.

use anyhow::{Result, bail};

use super::load::Work;
use super::peers::{Contestant, Policies, Proxy};
use super::{Plan, contest, cost, hostile, idle, latency, swaps};

/// Routes in the gateway where a row does not vary them.
pub(crate) const ROUTES: usize = 1000;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) target: &'static str,
    kind: Kind,
}

enum Kind {
    /// CPU time for the same work.
    Cpu(Work, fn() -> Vec<Contestant>),
    /// The time of requests sent at a rate everybody can keep up with.
    Latency,
    /// Memory for connections nobody uses.
    Idle,
    /// CPU time for a change, and for a look-up.
    Cost,
    /// The time of requests beside a neighbour whose policy misbehaves.
    Hostile,
    /// Replacing plugins under load.
    Swaps,
}

impl Row {
    pub(crate) fn run(&self, plan: &Plan) -> Result<()> {
        match &self.kind {
            Kind::Cpu(work, field) => contest::run(plan, work, field()),
            Kind::Latency => latency::run(plan, everybody()),
            Kind::Idle => idle::run(plan, everybody()),
            Kind::Cost => cost::run(&plan.place),
            Kind::Hostile => hostile::run(plan),
            Kind::Swaps => swaps::run(),
        }
    }

    /// Takes so long that it is measured only when it is named.
    fn is_long(&self) -> bool {
        matches!(self.kind, Kind::Swaps)
    }
}

const fn cpu(
    name: &'static str,
    title: &'static str,
    target: &'static str,
    work: Work,
    field: fn() -> Vec<Contestant>,
) -> Row {
    Row { name, title, target, kind: Kind::Cpu(work, field) }
}

const AS_NGINX: &str = "at most 1.0x nginx";

pub(crate) const ROWS: [Row; 17] = [
    cpu("requests", "a small answer over kept HTTP/1.1 connections", AS_NGINX, Work::SMALL, everybody),
    cpu(
        "access-log",
        "the same with a line for each request in a file",
        "at most 1.0x nginx, at most 0.25x traefik",
        Work::SMALL,
        with_log,
    ),
    cpu("tls", "the same over TLS", AS_NGINX, Work::SMALL.over_tls(), over_tls),
    cpu("http2", "HTTP/2 over TLS to HTTP/1.1", AS_NGINX, Work::HTTP2, over_tls),
    cpu("download-1m", "answers of 1 MiB", "at most 1.1x nginx", Work::download(1), for_bodies),
    cpu("upload-1m", "requests of 1 MiB", "at most 1.1x nginx", Work::upload(1), for_bodies),
    cpu("download-100m", "answers of 100 MiB", "at most 1.1x nginx", Work::download(100), for_bodies),
    cpu("upload-100m", "requests of 100 MiB", "at most 1.1x nginx", Work::upload(100), for_bodies),
    cpu("connections", "a connection for each request", "at least 0.9x nginx's rate", Work::CONNECTIONS, for_bodies),
    cpu(
        "handshakes",
        "a TLS connection for each request, the sessions gone on with as wrk does",
        "at least 0.9x nginx's rate",
        Work::CONNECTIONS.over_tls(),
        for_handshakes,
    ),
    cpu(
        "policies",
        "a small answer, decided by Wasm policies",
        "1.5 us more for rate-limit, 2 us more for circuit-breaker, three at most 1.25x nginx without any",
        Work::SMALL,
        with_policies,
    ),
    cpu("growth", "a small answer, with more and more routes", "at most 1.05x of 10 routes", Work::SMALL, with_routes),
    Row {
        name: "latency",
        title: "the time of requests at half of what nginx can do, at a constant rate",
        target: "p99 at most nginx's",
        kind: Kind::Latency,
    },
    Row {
        name: "idle",
        title: "memory for 10,000 connections that were used once",
        target: "at most 250 MiB, at most haproxy's and 100 MiB",
        kind: Kind::Idle,
    },
    Row {
        name: "cost",
        title: "a service changes, and a route is looked up, with 10,000 services",
        target: "at most 10 ms until published, at most 1 us for a look-up",
        kind: Kind::Cost,
    },
    Row {
        name: "hostile",
        title: "the time of requests beside a neighbour whose policy misbehaves on every one of its requests",
        target: "p99 at most 1.5x of that alone",
        kind: Kind::Hostile,
    },
    Row {
        name: "swaps",
        title: "1,000 replacements of each default plugin under load",
        target: "no failed request, at most 20 MiB more memory",
        kind: Kind::Swaps,
    },
];

/// The rows named, or all that do not take long.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    if let Some(unknown) = names.iter().find(|name| !ROWS.iter().any(|row| row.name == **name)) {
        bail!("there is no row `{unknown}`; `cargo xtask bench --list` prints their names");
    }
    let wanted = |row: &&Row| if names.is_empty() { !row.is_long() } else { names.iter().any(|name| name == row.name) };
    Ok(ROWS.iter().filter(wanted).collect())
}

fn of(proxies: &[Proxy]) -> Vec<Contestant> {
    proxies.iter().map(|proxy| Contestant::of(*proxy)).collect()
}

fn everybody() -> Vec<Contestant> {
    use Proxy::{BareHyper, Caddy, Envoy, Haproxy, Nginx, Sluice, Traefik};
    of(&[Nginx, Haproxy, Envoy, Traefik, Caddy, BareHyper, Sluice])
}

fn without_bare() -> Vec<Contestant> {
    everybody().into_iter().filter(|one| one.proxy != Proxy::BareHyper).collect()
}

fn with_log() -> Vec<Contestant> {
    without_bare().into_iter().map(|one| Contestant { access_log: true, ..one }).collect()
}

fn over_tls() -> Vec<Contestant> {
    without_bare().into_iter().map(|one| Contestant { tls: true, ..one }).collect()
}

fn for_bodies() -> Vec<Contestant> {
    of(&[Proxy::Nginx, Proxy::Haproxy, Proxy::Envoy, Proxy::BareHyper, Proxy::Sluice])
}

fn for_handshakes() -> Vec<Contestant> {
    let fast = of(&[Proxy::Nginx, Proxy::Haproxy, Proxy::Envoy, Proxy::Sluice]);
    fast.into_iter().map(|one| Contestant { tls: true, ..one }).collect()
}

fn with_policies() -> Vec<Contestant> {
    let sluice = Contestant::of(Proxy::Sluice);
    let policies = [Policies::None, Policies::RateLimit, Policies::CircuitBreaker, Policies::Three];
    let with = policies.into_iter().map(|policies| Contestant { policies, ..sluice });
    std::iter::once(Contestant::of(Proxy::Nginx)).chain(with).collect()
}

fn with_routes() -> Vec<Contestant> {
    let sluice = Contestant::of(Proxy::Sluice);
    [10, ROUTES, 10_000].into_iter().map(|routes| Contestant { routes, ..sluice }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_the_long_one_only_so() {
        assert_eq!(chosen(&[]).unwrap().len(), ROWS.len() - 1);
        let named = chosen(&["swaps".to_owned(), "tls".to_owned()]).unwrap();
        assert_eq!(named.iter().map(|row| row.name).collect::<Vec<_>>(), ["tls", "swaps"]);
        assert!(chosen(&["tsl".to_owned()]).is_err());
    }

    #[test]
    fn every_name_is_used_once() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
