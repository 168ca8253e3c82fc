//! One plugin's versions, and the one in force.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_wasm::{Artifact, Grants, Limits, PolicyInstance, PolicyPre, PolicyState, Subscription, World};

use super::super::{PluginState, PluginStatus, Tracker};
use super::Router;
use super::built_in::trust;
use crate::config::{self, Config};
use crate::http::Exchange;
use crate::live::{FailureMode, Plugin};
use crate::telemetry::{PluginLogger, Telemetry};

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Embedded in the gateway.
    BuiltIn,
    /// The plugin directory.
    File(PathBuf),
}

/// A version that is compiled.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) artifact: Artifact,
    pub(super) took: Duration,
}

/// A version that runs.
pub(super) enum InForce {
    Router(Box<Router>),
    Policy(Box<Probe>),
}

/// Everything known of one plugin.
#[derive(Default)]
pub(super) struct Entry {
    built_in: Option<Candidate>,
    file: Option<(PathBuf, Candidate)>,
    pub(super) in_force: Option<InForce>,
    /// It is compiled for the case that somebody uses it.
    pub(super) in_background: bool,
    /// Versions that are being compiled.
    pub(super) compiling: usize,
    /// The version in force was made with other settings than are configured now.
    pub(super) outdated: bool,
    /// A version that failed is not tried again until it changes.
    refused_digest: Option<String>,
    last_error: Option<String>,
    /// A version that failed too often while it was in force.
    quarantined: Option<String>,
    /// What was in force before the file that is now.
    last_good: Option<Candidate>,
    watch: Watch,
}

/// How often the version in force has failed lately.
#[derive(Default)]
struct Watch {
    /// When, and calls and failures until then.
    samples: VecDeque<(Instant, u64, u64)>,
}

/// The control plane's own instance of a policy plugin: settings are tried here before any worker sees them.
pub(in super::super) struct Probe {
    pub(in super::super) plugin: Arc<Plugin>,
    sandbox: Option<PolicyInstance<Box<Exchange>>>,
    next_handle: u32,
}

/// A version is put away when so many calls have failed within that time, and so many of a hundred.
const WATCHED: Duration = Duration::from_secs(10);
const LEAST_FAILURES: u64 = 20;
const FAILING_PERCENT: u64 = 5;

/// Deadlines where the configuration has none. A policy stands between a client and its answer; a router works through
/// a whole service at a time, off the request path.
const POLICY_DEADLINE: Duration = Duration::from_millis(50);
const ROUTER_DEADLINE: Duration = Duration::from_secs(2);
/// Memory where the configuration has none.
const POLICY_MEMORY: usize = 16 << 20;
const ROUTER_MEMORY: usize = 256 << 20;

pub(super) fn limits_for(config: &Config, name: &str, world: World) -> Limits {
    let settings = config.plugins.settings_of(name);
    let (deadline, memory) = match world {
        World::Policy => (POLICY_DEADLINE, POLICY_MEMORY),
        World::Router => (ROUTER_DEADLINE, ROUTER_MEMORY),
    };
    let deadline = trust(name).deadline.unwrap_or(deadline);
    let memory = settings.memory.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(memory);
    Limits { deadline: settings.deadline.unwrap_or(deadline), memory }
}

impl Entry {
    pub(super) fn add(&mut self, source: Source, candidate: Candidate) {
        match source {
            Source::BuiltIn => self.built_in = Some(candidate),
            Source::File(path) => {
                if Some(candidate.artifact.digest()) != self.quarantined.as_deref() {
                    self.quarantined = None;
                }
                self.file = Some((path, candidate));
            }
        }
    }

    pub(super) fn remove_file(&mut self) {
        self.file = None;
        self.quarantined = None;
        self.refused_digest = None;
        self.last_error = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.built_in.is_none() && self.file.is_none() && self.in_force.is_none() && self.compiling == 0
    }

    fn wanted(&self) -> Option<&Candidate> {
        let file = self.file.as_ref().map(|(_, candidate)| candidate);
        match file.filter(|file| Some(file.artifact.digest()) == self.quarantined.as_deref()) {
            Some(_) => self.spare(),
            None => file.or(self.built_in.as_ref()),
        }
    }

    /// What could take the place of the file's version.
    fn spare(&self) -> Option<&Candidate> {
        let usable = |candidate: &&Candidate| Some(candidate.artifact.digest()) != self.quarantined.as_deref();
        self.last_good.as_ref().filter(usable).or(self.built_in.as_ref())
    }

    /// Looks at how the version in force does; answers why it is put away, once it is.
    pub(super) fn check(&mut self, now: Instant) -> Option<String> {
        let Some(InForce::Policy(probe)) = &self.in_force else { return None };
        let metrics = &probe.plugin.metrics;
        let (calls, failures) = self.watch.note(now, metrics.calls(), metrics.failures());
        let digest = probe.plugin.artifact.digest().to_owned();
        let is_file = self.file.as_ref().is_some_and(|(_, file)| file.artifact.digest() == digest);
        let is_spared = self.spare().is_some_and(|spare| spare.artifact.digest() != digest);
        if failures < LEAST_FAILURES || failures * 100 < calls * FAILING_PERCENT || !is_file || !is_spared {
            return None;
        }
        let reason = format!(
            "quarantined: {failures} of {calls} calls failed within {} s; the version before it is in force again until \
             the file changes",
            WATCHED.as_secs()
        );
        self.quarantined = Some(digest);
        Some(reason)
    }

    fn digest_in_force(&self) -> Option<&str> {
        self.in_force.as_ref().map(|in_force| in_force.artifact().digest())
    }

    /// Whether another version than the one in force is wanted, or that one with other settings.
    pub(super) fn has_news(&self) -> bool {
        let wanted = self.wanted().map(|candidate| candidate.artifact.digest());
        let is_other = wanted != self.digest_in_force() && wanted != self.refused_digest.as_deref();
        wanted.is_some() && (is_other || self.outdated)
    }

    /// The version to be tried next, if it is of this world.
    pub(super) fn next(&self, world: World) -> Option<Candidate> {
        self.has_news()
            .then(|| self.wanted().cloned())
            .flatten()
            .filter(|candidate| candidate.artifact.world() == world)
    }

    pub(super) fn adopt(&mut self, name: &str, in_force: InForce) {
        let digest = in_force.artifact().digest().to_owned();
        tracing::info!(plugin = name, digest, "plugin in force");
        let before = self.in_force.as_ref().map(InForce::artifact);
        let before = before.filter(|before| before.digest() != digest);
        if let Some(before) = before.filter(|before| Some(before.digest()) != self.quarantined.as_deref()) {
            self.last_good = Some(Candidate { artifact: before.clone(), took: Duration::ZERO });
        }
        self.in_force = Some(in_force);
        self.watch = Watch::default();
        self.outdated = false;
        // Why a version is in quarantine stays to be read.
        if self.quarantined.is_none() {
            self.last_error = None;
        }
        self.refused_digest = None;
    }

    /// The version to be tried next failed; what is in force stays.
    pub(super) fn refuse_next(&mut self, name: &str, world: World, reason: String, tracker: &Tracker) {
        self.refused_digest = self.next(world).map(|candidate| candidate.artifact.digest().to_owned());
        self.outdated = false;
        self.refuse(name, reason, tracker);
    }

    pub(super) fn refuse(&mut self, name: &str, reason: String, tracker: &Tracker) {
        tracing::error!(plugin = name, %reason, "plugin version refused");
        tracker.refused(format!("plugin {name}: {reason}"));
        self.last_error = Some(reason);
    }

    pub(super) fn status(&self, name: &Arc<str>) -> PluginStatus {
        let shown =
            self.in_force.as_ref().map(InForce::artifact).or(self.wanted().map(|candidate| &candidate.artifact));
        let of = |candidate: &Candidate| shown.is_some_and(|shown| shown.digest() == candidate.artifact.digest());
        let file = self.file.as_ref().filter(|(_, candidate)| of(candidate));
        let built_in = self.built_in.as_ref().filter(|candidate| of(candidate));
        PluginStatus {
            name: Arc::clone(name),
            world: shown.map(Artifact::world),
            digest: shown.map(|artifact| artifact.digest().to_owned()),
            source: file.map(|(path, _)| Source::File(path.clone())).or(built_in.map(|_| Source::BuiltIn)),
            state: match (&self.in_force, self.compiling > 0) {
                _ if self.quarantined.is_some() => PluginState::Quarantined,
                (Some(_), _) if file.is_none() && built_in.is_none() => PluginState::Orphaned,
                (Some(_), _) => PluginState::Active,
                (None, true) => PluginState::Compiling,
                (None, false) => PluginState::Failed,
            },
            last_error: self.last_error.clone(),
            compile_time: file.map(|(_, candidate)| candidate).or(built_in).map(|candidate| candidate.took),
            plugin: match &self.in_force {
                Some(InForce::Policy(probe)) => Some(Arc::clone(&probe.plugin)),
                _ => None,
            },
        }
    }
}

impl Watch {
    /// Calls and failures of the time that is watched.
    fn note(&mut self, now: Instant, calls: u64, failures: u64) -> (u64, u64) {
        self.samples.push_back((now, calls, failures));
        while self.samples.get(1).is_some_and(|(at, ..)| now.duration_since(*at) >= WATCHED) {
            self.samples.pop_front();
        }
        let (_, calls_then, failures_then) = self.samples.front().copied().unwrap_or((now, calls, failures));
        (calls - calls_then, failures - failures_then)
    }
}

impl InForce {
    fn artifact(&self) -> &Artifact {
        match self {
            Self::Router(router) => router.artifact(),
            Self::Policy(probe) => &probe.plugin.artifact,
        }
    }
}

impl Probe {
    pub(super) fn new(
        name: &Arc<str>,
        id: u32,
        artifact: Artifact,
        config: &Config,
        telemetry: &Telemetry,
    ) -> Result<Self, String> {
        let settings = config.plugins.settings_of(name);
        let failure = match settings.failure {
            config::Failure::Closed => FailureMode::Closed,
            config::Failure::Open => FailureMode::Open,
        };
        let limits = limits_for(config, name, World::Policy);
        let metrics = telemetry.plugin(name);
        let grants = settings.grants.iter().map(String::as_str).chain(trust(name).grants.iter().copied());
        let grants = Grants::parse(grants).map_err(|error| format!("its `grants`: {error}"))?;
        let pre = PolicyPre::new(&artifact).map_err(|error| format!("cannot be linked: {error}"))?.with_grants(grants);
        let ejects = artifact.uses("exchange", "eject-instance");
        let schema = PolicyInstance::new(&pre, limits, PluginLogger::shared(name))
            .and_then(|mut sandbox: PolicyInstance<Box<Exchange>>| sandbox.schema())
            .map_err(|error| format!("cannot be asked for its schema: {error}"))?;
        let (waits, reads_response) = (artifact.waits(), artifact.uses("exchange", "response-header"));
        let plugin = Plugin {
            name: Arc::clone(name),
            id,
            artifact,
            pre,
            ejects,
            schema,
            waits,
            reads_response,
            limits,
            failure,
            metrics,
        };
        let mut probe = Self { plugin: Arc::new(plugin), sandbox: None, next_handle: 0 };
        probe.sandbox().map_err(|error| format!("cannot be instantiated: {error}"))?;
        Ok(probe)
    }

    fn sandbox(&mut self) -> Result<&mut PolicyInstance<Box<Exchange>>, sluice_wasm::CallError> {
        let usable = self.sandbox.take().filter(|sandbox| !sandbox.is_spent());
        let sandbox = match usable {
            Some(sandbox) => sandbox,
            None => {
                let logger = PluginLogger::shared(&self.plugin.name);
                PolicyInstance::new(&self.plugin.pre, self.plugin.limits, logger)?
            }
        };
        Ok(self.sandbox.insert(sandbox))
    }

    /// A handle no use of this version has had.
    pub(in super::super) fn new_handle(&mut self) -> u32 {
        self.next_handle += 1;
        self.next_handle
    }

    /// Tries settings; `state` notes what they open.
    pub(in super::super) fn configure(
        &mut self,
        handle: u32,
        settings: &str,
        state: Arc<dyn PolicyState>,
    ) -> Result<Subscription, String> {
        let sandbox = self.sandbox().map_err(|error| error.to_string())?;
        sandbox.configure(handle, settings, state).map_err(|error| error.to_string())?
    }

    /// A use is gone.
    pub(in super::super) fn release(&mut self, handle: u32) {
        if let Ok(sandbox) = self.sandbox()
            && let Err(error) = sandbox.release(handle)
        {
            tracing::warn!(plugin = %self.plugin.name, %error, "plugin failed while forgetting a use");
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("builtin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
