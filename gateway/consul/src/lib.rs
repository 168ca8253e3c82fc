//! Discovery from Consul: takes the HTTP API of one agent, gives whole [`Catalog`](sluice_model::Catalog) snapshots.
//!
//! The walk of a change: `blocking` keeps one long poll on the list of services and one on the health of every service
//! of interest, by the index rules of Consul; `wire` turns the JSON into the model's nouns and nothing of it goes
//! further; `merge` joins the answers into one state, in which `guard` holds back removals that look like a fault of the
//! registry; `watch` publishes the result, the first change at once and a storm coalesced.
//!
//! A held removal ends when the registry has confirmed it for [`ConsulConfig::hold_max`], when the instance or another
//! one at its address is registered again, or by [`Handle::accept`]. Meanwhile the instance stays in the snapshots
//! as it was last seen; whether it still runs is not checked here.
//!
//! Of services in a Consul Connect mesh the members are read instead, and with [`ConsulConfig::member`] what it takes to
//! speak to them is kept current.
//!
//! What it never does: read a failed query as an empty answer, publish before the first complete listing, end by
//! itself, or decide what a service's tags mean (the caller says which services are of interest).
//!
//! ```no_run
//! # async fn example() -> Result<(), sluice_consul::ConsulError> {
//! use sluice_consul::{ConsulConfig, Watcher};
//!
//! let wanted = |_name: &str, tags: &[String]| tags.iter().any(|tag| tag == "traefik.enable=true");
//! let watcher = Watcher::new(ConsulConfig::new("127.0.0.1:8500"), wanted)?;
//! let handle = watcher.handle();
//! let running = tokio::spawn(watcher.run(|catalog| drop(catalog)));
//! let status = handle.status();
//! handle.accept();
//! running.abort();
//! # drop(status);
//! # Ok(())
//! # }
//! ```

mod agent;
mod blocking;
mod config;
mod error;
mod guard;
mod merge;
mod mesh;
mod pace;
mod status;
mod token;
mod watch;
mod wire;

#[cfg(test)]
mod tests;

pub use config::{ConsulConfig, Scheme, TlsOptions, TokenSource};
pub use error::ConsulError;
pub use guard::Reason;
pub use merge::Interest;
pub use mesh::Member;
pub use status::{Failure, Handle, HeldRemoval, Status};
pub use watch::Watcher;
