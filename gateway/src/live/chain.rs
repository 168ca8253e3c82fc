//! Chains: the steps between a route and its service, compiled.

use std::sync::Arc;

use sluice_wasm::{Artifact, Limits, PolicyPre, Subscription};

use super::native::Native;
use crate::http::Exchange;
use crate::state::{PolicyState, Rests};
use crate::telemetry::PluginMetrics;

/// One step of a chain.
#[derive(Clone, Debug)]
pub enum Step {
    /// Does its work here.
    Native(Arc<Native>),
    /// Asks a plugin.
    Policy(Arc<PolicyUse>),
}

/// A configured use of a policy plugin, ready for every worker.
#[derive(Debug)]
pub struct PolicyUse {
    /// The step's qualified name.
    pub name: Arc<str>,
    /// Tells the plugin which use a call is about. Never used twice for one version.
    pub handle: u32,
    /// The version that runs.
    pub plugin: Arc<Plugin>,
    /// JSON.
    pub settings: Arc<str>,
    /// What the plugin wants to be asked and told.
    pub subscription: Subscription,
    /// What it counts.
    pub state: Arc<PolicyState>,
    /// Whether its calls fail so often that it is not called.
    pub rests: Rests,
}

/// One version of a plugin, in force.
#[derive(Debug)]
pub struct Plugin {
    /// As configurations and tags name it.
    pub name: Arc<str>,
    /// Distinguishes versions; never used twice while the process lives.
    pub id: u32,
    /// Compiled.
    pub artifact: Artifact,
    /// Linked, so that instances are quick to make.
    pub pre: PolicyPre<Box<Exchange>>,
    /// What it may do beyond what every plugin may.
    pub granted: Vec<String>,
    /// Whether it may leave instances out.
    pub ejects: bool,
    /// The JSON schema of its settings, empty where it has none.
    pub schema: String,
    /// Whether it may wait for requests of its own.
    pub waits: bool,
    /// Whether it asks for the instance an exchange went to.
    pub asks_instance: bool,
    /// Whether it asks for headers of responses that it has not subscribed to.
    pub reads_response: bool,
    /// For every call.
    pub limits: Limits,
    /// What a failing call means for the request.
    pub failure: FailureMode,
    /// What it can remember.
    pub isolation: Isolation,
    /// Calls and their outcomes.
    pub metrics: Arc<PluginMetrics>,
}

/// What a plugin can remember by itself from one call to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// What it likes: a worker's instance serves one request after the other.
    None,
    /// Nothing: every call has an instance of its own.
    Request,
}

/// What becomes of a request whose policy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// It is answered 503.
    #[default]
    Closed,
    /// It goes on as if the policy were not there.
    Open,
}

impl Step {
    /// Whether both are the same compiled step.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Native(a), Self::Native(b)) => Arc::ptr_eq(a, b),
            (Self::Policy(a), Self::Policy(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
