//! One plugin's versions, and the one in force.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_wasm::{Artifact, Limits, World};

use super::super::{PluginState, PluginStatus, Tracker};
use super::built_in::{trust, world};
use super::{Probe, Router, Signed};
use crate::config::Config;

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
    pub(super) source: Source,
    pub(super) artifact: Artifact,
    pub(super) took: Duration,
    pub(super) signed: Option<Signed>,
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
    file: Option<Candidate>,
    pub(super) in_force: Option<InForce>,
    /// What is in force, as it was compiled.
    running: Option<Candidate>,
    /// It is compiled for the case that somebody uses it.
    pub(super) in_background: bool,
    /// Versions that are being compiled.
    pub(super) compiling: usize,
    /// The version in force was made with other settings than are configured now.
    pub(super) outdated: bool,
    /// A version that failed is not tried again until it changes.
    refused_digest: Option<String>,
    last_error: Option<LastError>,
    /// A version that failed too often while it was in force.
    quarantined: Option<String>,
    /// What was in force before the file that is now.
    last_good: Option<Candidate>,
    watch: Watch,
}

/// Why a version is not in force.
struct LastError {
    reason: String,
    is_of_file: bool,
}

/// How often the version in force has failed lately.
#[derive(Default)]
struct Watch {
    /// When, and calls and failures until then.
    samples: VecDeque<(Instant, u64, u64)>,
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
    pub(super) fn add(&mut self, candidate: Candidate) {
        if candidate.source == Source::BuiltIn {
            self.built_in = Some(candidate);
            return;
        }
        let digest = Some(candidate.artifact.digest());
        if digest != self.quarantined.as_deref() {
            self.quarantined = None;
            if digest == self.digest_in_force() {
                // The file is what it was before something else lay there for a while.
                self.last_error = None;
            }
        }
        self.file = Some(candidate);
    }

    /// A version, if it is what others of this name are: routes need a router, and what names a policy needs one.
    pub(super) fn in_its_place(&self, name: &str, artifact: Artifact) -> Result<Artifact, String> {
        let called = |world| match world {
            World::Router => "router",
            World::Policy => "policy",
        };
        let known = self.running.as_ref().or(self.built_in.as_ref()).map(|candidate| candidate.artifact.world());
        match known.or_else(|| world(name)).filter(|known| *known != artifact.world()) {
            None => Ok(artifact),
            Some(known) => Err(format!(
                "this is a {}, and `{name}` is a {}; give the file a name of its own",
                called(artifact.world()),
                called(known)
            )),
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
        match self.file.as_ref().filter(|file| self.is_put_away(file)) {
            Some(_) => self.spare(),
            None => self.file.as_ref().or(self.built_in.as_ref()),
        }
    }

    /// Whether a version is out of the question: it failed too often, or it is refused and none is in force that could
    /// stay instead.
    fn is_put_away(&self, version: &Candidate) -> bool {
        let digest = Some(version.artifact.digest());
        digest == self.quarantined.as_deref() || (self.in_force.is_none() && digest == self.refused_digest.as_deref())
    }

    /// What could take the place of the file's version.
    fn spare(&self) -> Option<&Candidate> {
        let usable = |candidate: &&Candidate| Some(candidate.artifact.digest()) != self.quarantined.as_deref();
        self.last_good.as_ref().filter(usable).or(self.built_in.as_ref())
    }

    /// Looks at how the version in force does; answers why it is put away, once it is.
    pub(super) fn check(&mut self, now: Instant) -> Option<(Source, String)> {
        let Some(InForce::Policy(probe)) = &self.in_force else { return None };
        let metrics = &probe.plugin.metrics;
        let (calls, failures) = self.watch.note(now, metrics.calls(), metrics.failures());
        let digest = probe.plugin.artifact.digest().to_owned();
        let file = self.file.as_ref().filter(|file| file.artifact.digest() == digest)?.source.clone();
        let is_spared = self.spare().is_some_and(|spare| spare.artifact.digest() != digest);
        if failures < LEAST_FAILURES || failures * 100 < calls * FAILING_PERCENT || !is_spared {
            return None;
        }
        let reason = format!(
            "quarantined: {failures} of {calls} calls failed within {} s; the version before it is in force again until \
             the file changes",
            WATCHED.as_secs()
        );
        self.quarantined = Some(digest);
        Some((file, reason))
    }

    fn digest_in_force(&self) -> Option<&str> {
        self.running.as_ref().map(|running| running.artifact.digest())
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

    pub(super) fn adopt(&mut self, name: &str, in_force: InForce, version: Candidate) {
        let digest = version.artifact.digest().to_owned();
        tracing::info!(plugin = name, digest, "plugin in force");
        let is_file = self.file.as_ref().is_some_and(|file| file.artifact.digest() == digest);
        let before = self.running.replace(version).filter(|before| before.artifact.digest() != digest);
        if let Some(before) = before.filter(|before| Some(before.artifact.digest()) != self.quarantined.as_deref()) {
            self.last_good = Some(before);
        }
        self.in_force = Some(in_force);
        self.watch = Watch::default();
        self.outdated = false;
        // Why the file's version is not in force stays to be read.
        if is_file || self.last_error.as_ref().is_some_and(|error| !error.is_of_file) {
            self.last_error = None;
            self.refused_digest = None;
        }
    }

    /// The version that was tried next failed; what is in force stays.
    pub(super) fn refuse_next(&mut self, name: &str, version: &Candidate, reason: String, tracker: &Tracker) {
        self.refused_digest = Some(version.artifact.digest().to_owned());
        self.outdated = false;
        self.refuse(name, &version.source, reason, tracker);
    }

    pub(super) fn refuse(&mut self, name: &str, source: &Source, reason: String, tracker: &Tracker) {
        tracing::error!(plugin = name, %reason, "plugin version refused");
        tracker.refused(format!("plugin {name}: {reason}"));
        self.last_error = Some(LastError { reason, is_of_file: *source != Source::BuiltIn });
    }

    pub(super) fn status(&self, name: &Arc<str>) -> PluginStatus {
        let shown = self.running.as_ref().or(self.wanted()).map(|shown| &shown.artifact);
        let of = |candidate: &&Candidate| shown.is_some_and(|shown| shown.digest() == candidate.artifact.digest());
        let file = self.file.as_ref().filter(of);
        let built_in = self.built_in.as_ref().filter(of);
        let there = file.or(built_in);
        PluginStatus {
            name: Arc::clone(name),
            world: shown.map(Artifact::world),
            version: shown.and_then(Artifact::version).map(str::to_owned),
            digest: shown.map(|artifact| artifact.digest().to_owned()),
            source: there.map(|candidate| candidate.source.clone()),
            signed: there.and_then(|candidate| candidate.signed.clone()),
            state: match (&self.in_force, self.compiling > 0) {
                _ if self.quarantined.is_some() => PluginState::Quarantined,
                (Some(_), _) if there.is_none() => PluginState::Orphaned,
                (Some(_), _) => PluginState::Active,
                (None, true) => PluginState::Compiling,
                (None, false) => PluginState::Failed,
            },
            last_error: self.last_error.as_ref().map(|error| error.reason.clone()),
            compile_time: there.map(|candidate| candidate.took),
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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("builtin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
