//! The rules of discovery over an agent in memory, in tokio's paused time: waits of minutes take none, and their
//! lengths are exact.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub(crate) mod fake;
mod hold;
mod poll;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use sluice_model::Catalog;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::ConsulConfig;
use crate::merge::Interest;
use crate::status::{Handle, Status};
use crate::watch::Engine;
use fake::Fake;

/// Longer than any hold: what has not come by then never comes.
const LONG: Duration = Duration::from_secs(3600);

/// A watcher over a fake agent.
struct Rig {
    fake: Fake,
    handle: Handle,
    snapshots: mpsc::UnboundedReceiver<Arc<Catalog>>,
    running: JoinHandle<()>,
}

impl Rig {
    fn start(fake: &Fake) -> Self {
        Self::with(fake, &ConsulConfig::default(), |_, _| true)
    }

    fn with<I: Into<Interest>>(
        fake: &Fake,
        config: &ConsulConfig,
        interest: impl Fn(&str, &[String]) -> I + Send + 'static,
    ) -> Self {
        let engine = Engine::new(fake.clone(), config, interest);
        let handle = engine.handle();
        let (out, snapshots) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            engine.run(move |catalog| drop(out.send(catalog))).await;
        });
        Self { fake: fake.clone(), handle, snapshots, running }
    }

    /// A snapshot that nothing holds up: within the longest back-off.
    async fn next(&mut self) -> Arc<Catalog> {
        self.next_within(31).await
    }

    async fn next_within(&mut self, seconds: u64) -> Arc<Catalog> {
        let next = timeout(Duration::from_secs(seconds), self.snapshots.recv()).await;
        next.expect("a snapshot").expect("a running watcher")
    }

    /// The next snapshot as text: `web:1,2 db:3`.
    async fn next_text(&mut self) -> String {
        let catalog = self.next().await;
        text(&catalog)
    }

    /// No snapshot within this time.
    async fn quiet(&mut self, seconds: u64) {
        if let Ok(catalog) = timeout(Duration::from_secs(seconds), self.snapshots.recv()).await {
            panic!("unexpected snapshot: {}", text(&catalog.expect("a running watcher")));
        }
    }

    async fn until_status(&mut self, wanted: impl Fn(&Status) -> bool) {
        while !wanted(&self.handle.status()) {
            assert!(timeout(LONG, self.handle.changed()).await.expect("another status"));
        }
    }

    fn status(&self) -> Arc<Status> {
        self.handle.status()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn text(catalog: &Catalog) -> String {
    let services = catalog.services.values().map(|service| {
        let ports: Vec<_> = service.instances.iter().map(|one| one.port.to_string()).collect();
        format!("{}:{}", service.name, ports.join(","))
    });
    services.collect::<Vec<_>>().join(" ")
}
