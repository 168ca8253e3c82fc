//! Where the control plane and the data plane meet: one published [`Generation`], read by every request once.
//!
//! A generation is complete and never changes. What has to survive its successor (buckets, turns, loads) lives in
//! `state` and is only referred to from here.

mod chain;
mod generation;
pub mod native;
mod service;
mod tcp;
mod tls_hosts;
mod transports;

pub use chain::{FailureMode, Isolation, Plugin, PolicyUse, Step};
pub use generation::{Broken, EntrypointTable, Generation, PolicyStatus, Route, RouteStatus, Unnoted};
pub use service::{Balancer, Endpoint, Failover, Kind, Method, Mirror, Mirroring, Part, Service, Sticky, Weighted};
pub use tcp::{Tcp, TcpRoute, TcpRouteStatus, TcpService, TcpStep, TcpTables};
pub use tls_hosts::TlsHosts;
pub use transports::{MESH, Mesh, Transport, Transports};

use std::sync::Arc;

use arc_swap::ArcSwap;

/// The published generation. Cheap to clone; only `control` publishes.
#[derive(Clone)]
pub struct Live {
    current: Arc<ArcSwap<Generation>>,
}

/// A reader that costs one atomic load while nothing changes. One for each worker.
pub struct Reader {
    cache: arc_swap::Cache<Arc<ArcSwap<Generation>>, Arc<Generation>>,
}

impl Live {
    /// Starts with a generation that routes nothing.
    #[must_use]
    pub fn new(entrypoints: usize) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(Generation::empty(entrypoints))) }
    }

    /// Everything that is in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Replaces what is in force. Requests under way keep what they began with.
    pub fn publish(&self, generation: Generation) {
        self.current.store(Arc::new(generation));
    }

    /// A reader for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { cache: arc_swap::Cache::new(Arc::clone(&self.current)) }
    }
}

impl Reader {
    /// Everything that is in force now.
    pub fn load(&mut self) -> &Arc<Generation> {
        self.cache.load()
    }
}
