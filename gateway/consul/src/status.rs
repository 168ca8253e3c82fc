//! What the watcher is doing and how it feels, for the admin API and metrics; and the one thing an operator may order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use crate::guard::Reason;
use crate::mesh::Member;

/// The state of discovery at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The registry's index, as the list of services last had it; 0 before the first answer.
    pub index: u64,
    /// The last good answer to any read.
    pub last_contact: Option<SystemTime>,
    /// Whether the list of services could be read when it was last tried. While it cannot, the last good state stays.
    pub reachable: bool,
    /// The last failed read, kept after recovery.
    pub last_error: Option<Failure>,
    /// Reads may be answered by any server, by configuration.
    pub stale: bool,
    /// Whether the answering server knew a leader.
    pub known_leader: bool,
    /// How old the list of services may be: the time since the answering server heard of its leader.
    pub staleness: Duration,
    /// Names in the registry.
    pub services: usize,
    /// Services with a poll of their own, because they are of interest.
    pub watched: usize,
    /// Services in the last snapshot.
    pub published_services: usize,
    /// Instances in the last snapshot.
    pub published_instances: usize,
    /// Snapshots published so far; the first one is the first complete listing.
    pub snapshots: u64,
    /// Services that cannot be read and keep their last good state.
    pub failing: BTreeMap<String, Failure>,
    /// By service: entries of the registry that make no sense and were left out.
    pub refused: BTreeMap<String, Vec<String>>,
    /// Instances the registry no longer has and the snapshots still do.
    pub held_removals: Vec<HeldRemoval>,
}

/// A read that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was read, why that failed and how to mend it.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// A removal that waits for confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRemoval {
    /// The service's name.
    pub service: String,
    /// The instance's id in the catalog.
    pub instance: String,
    /// Why it is held back.
    pub reason: Reason,
    /// Since when.
    pub since: SystemTime,
}

/// Reads the [`Status`] of a running watcher and accepts held removals. Outlives the watcher.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) member: watch::Receiver<Option<Arc<Member>>>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) accept: Arc<Notify>,
}

impl Handle {
    /// The status now. Costs a reference count.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// Waits for a status that differs from the one this handle saw last; `false` once the watcher is gone.
    pub async fn changed(&mut self) -> bool {
        self.status.changed().await.is_ok()
    }

    /// What it takes to speak to members of the Connect mesh; none until it is known.
    #[must_use]
    pub fn member(&self) -> watch::Receiver<Option<Arc<Member>>> {
        self.member.clone()
    }

    /// Applies every removal that is held back at this moment: the operator knows that they are real.
    pub fn accept(&self) {
        self.accept.notify_one();
    }
}
