//! Plugin versions: which there are, which are in force, and why others are not.
//!
//! A version comes from the binary or from the plugin directory; a file wins over what is built in, and taking it
//! away falls back. A new version is compiled off this thread and adopted only after it has shown that it can do
//! everything the one in force does; otherwise that one stays.

mod built_in;
mod compile_thread;
mod probe;
mod router;
mod signature;
mod version;

pub use built_in::BUILT_IN;
use built_in::BUILT_IN_ROUTER;
pub(super) use probe::Probe;
pub(super) use router::Router;
pub use signature::Signed;
pub use version::Source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use sluice_wasm::{Artifact, World};

use super::contribute::Providers;
use super::directory::PluginFile;
use super::policies::Policies;
use super::{Compiled, Event, Parts, PluginState, PluginStatus, Tracker};
use crate::config::Config;
use crate::telemetry::Telemetry;
use compile_thread::{CompileThread, LONGEST, Urgency, Version};
use version::{Candidate, Entry, InForce, limits_for};

/// All plugins by name.
pub(super) struct Plugins {
    entries: BTreeMap<Arc<str>, Entry>,
    compile: CompileThread,
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    tracker: Arc<Tracker>,
    next_id: u32,
    /// Built-in policies nobody has asked for yet.
    untouched: BTreeMap<&'static str, &'static [u8]>,
}

impl Plugins {
    /// Starts compiling the built-in router; policies are compiled when they are used, and the others when there is
    /// nothing else to do.
    pub(super) fn start(parts: &Parts, events: Sender<Event>) -> std::io::Result<Self> {
        let engine = parts.engine.clone();
        let load =
            move |name: &str, bytes: &[u8]| Artifact::load(&engine, name, bytes).map_err(|error| error.to_string());
        let mut plugins = Self {
            entries: BTreeMap::new(),
            compile: CompileThread::start(load, events)?,
            config: Arc::clone(&parts.config),
            telemetry: Arc::clone(&parts.telemetry),
            tracker: Arc::clone(&parts.tracker),
            next_id: 1,
            untouched: BUILT_IN.iter().copied().collect(),
        };
        if let Some(bytes) = plugins.untouched.remove(BUILT_IN_ROUTER) {
            plugins.compile(Urgency::Wanted, BUILT_IN_ROUTER, built_in(bytes));
        }
        Ok(plugins)
    }

    /// Has those of these plugins compiled that are built in and not yet; answers whether one is waited for.
    pub(super) fn await_built_in<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> bool {
        let mut waits = false;
        for name in names {
            let known = self.entries.get(name).map(|entry| (entry.in_force.is_some(), entry.compiling > 0));
            match known {
                Some((true, _)) => continue,
                Some((false, true)) => {}
                Some((false, false)) | None => match self.untouched.remove(name) {
                    Some(bytes) => self.compile(Urgency::Wanted, name, built_in(bytes)),
                    None => continue,
                },
            }
            waits |= BUILT_IN.iter().any(|(known, _)| *known == name);
        }
        waits
    }

    /// Whether something built in has not been compiled yet.
    pub(super) fn has_rest(&self) -> bool {
        !self.untouched.is_empty()
    }

    /// Has what is built in and not used compiled as well, so that it is there when it is.
    pub(super) fn compile_the_rest(&mut self) {
        for (name, bytes) in std::mem::take(&mut self.untouched) {
            self.compile(Urgency::Spare, name, built_in(bytes));
        }
    }

    /// Has versions in force made anew where their settings have changed.
    pub(super) fn reconfigure(&mut self, config: Arc<Config>) {
        for (name, entry) in &mut self.entries {
            entry.outdated |= self.config.plugins.settings_of(name) != config.plugins.settings_of(name);
        }
        self.config = config;
    }

    fn compile(&mut self, urgency: Urgency, name: &str, version: Version) {
        let name: Arc<str> = name.into();
        let added = self.compile.submit(urgency, Arc::clone(&name), version);
        let entry = self.entries.entry(name).or_default();
        entry.compiling += usize::from(added);
        entry.in_background = urgency == Urgency::Spare;
    }

    /// A file is there, complete and new, or cannot be used.
    pub(super) fn found(&mut self, name: &str, file: Result<PluginFile, String>, path: PathBuf) {
        let source = Source::File(path);
        let checked = file.and_then(|file| {
            let signed = signature::check(&self.config.plugins, name, &file)?;
            Ok(Version { source: source.clone(), signed, bytes: file.bytes })
        });
        match checked {
            Ok(version) => self.compile(Urgency::Wanted, name, version),
            Err(reason) => {
                let entry = self.entries.entry(name.into()).or_default();
                self.telemetry.plugin_reload(name, false);
                entry.refuse(name, &source, reason, &self.tracker);
            }
        }
    }

    /// A file is gone; answers whether something else is to come into force.
    pub(super) fn gone(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        entry.remove_file();
        if entry.is_empty() {
            self.entries.remove(name);
            return false;
        }
        entry.has_news()
    }

    /// A version is compiled, or not; answers what changed.
    pub(super) fn compiled(&mut self, compiled: Compiled) -> Option<String> {
        let Compiled { name, source, signed, artifact, took } = compiled;
        let entry = self.entries.entry(Arc::clone(&name)).or_default();
        entry.compiling = entry.compiling.saturating_sub(1);
        match artifact.and_then(|artifact| entry.in_its_place(&name, artifact)) {
            Ok(artifact) => {
                tracing::info!(plugin = %name, source = %source, digest = %artifact.digest(), took = ?took, "plugin compiled");
                self.telemetry.plugin_compiled(&name, took);
                entry.add(Candidate { source, artifact, took, signed });
                // The first versions are waited for, so there always is news in a compiled one.
                Some(format!("plugin {name}"))
            }
            Err(reason) => {
                self.telemetry.plugin_reload(&name, false);
                entry.refuse(&name, &source, reason, &self.tracker);
                None
            }
        }
    }

    /// Whether every plugin has a version in force, or will not have one, or is not needed yet.
    pub(super) fn settled(&self) -> bool {
        self.entries.values().all(|entry| entry.compiling == 0 || entry.in_force.is_some() || entry.in_background)
    }

    /// Whether nothing is being compiled.
    pub(super) fn idle(&self) -> bool {
        self.entries.values().all(|entry| entry.compiling == 0)
    }

    /// The router plugin in force under this name.
    pub(super) fn router(&mut self, name: &str) -> Result<&mut Router, String> {
        match self.entries.get_mut(name).and_then(|entry| entry.in_force.as_mut()) {
            Some(InForce::Router(router)) => Ok(router),
            Some(InForce::Policy(_)) => Err(format!("plugin `{name}` is a policy, not a router")),
            None => Err(format!("router plugin `{name}` is not installed")),
        }
    }

    /// The policy plugin in force under this name.
    pub(super) fn policy(&mut self, name: &str) -> Result<&mut Probe, String> {
        match self.entries.get_mut(name).and_then(|entry| entry.in_force.as_mut()) {
            Some(InForce::Policy(probe)) => Ok(probe),
            Some(InForce::Router(_)) => Err(format!("plugin `{name}` is a router, not a policy")),
            None => Err(format!("plugin `{name}` is not installed")),
        }
    }

    /// Brings new router versions into force, those that can contribute for every service there is.
    pub(super) fn adopt_routers(&mut self, providers: &mut Providers) {
        for (name, entry) in &mut self.entries {
            let Some(candidate) = entry.next(World::Router) else { continue };
            let limits = limits_for(&self.config, name, World::Router);
            let tried = Router::new(name, candidate.artifact.clone(), limits).and_then(|mut router| {
                try_router(&mut router, providers.of_router(name))?;
                Ok(router)
            });
            self.telemetry.plugin_reload(name, tried.is_ok());
            match tried {
                Ok(router) => {
                    entry.adopt(name, InForce::Router(Box::new(router)), candidate);
                    providers.recontribute(name);
                }
                Err(reason) => entry.refuse_next(name, &candidate, reason, &self.tracker),
            }
        }
    }

    /// Brings new policy versions into force, those that accept the settings of every use there is.
    pub(super) fn adopt_policies(&mut self, policies: &mut Policies) {
        for (name, entry) in &mut self.entries {
            let Some(candidate) = entry.next(World::Policy) else { continue };
            let tried = Probe::new(name, self.next_id, &candidate, &self.config, &self.telemetry)
                .and_then(|mut probe| policies.try_version(name, &mut probe).map(|()| probe));
            self.next_id += 1;
            self.telemetry.plugin_reload(name, tried.is_ok());
            match tried {
                Ok(probe) => entry.adopt(name, InForce::Policy(Box::new(probe)), candidate),
                Err(reason) => entry.refuse_next(name, &candidate, reason, &self.tracker),
            }
        }
    }

    /// Puts versions away that fail too often, or cannot be compiled in time; answers what changed.
    pub(super) fn watch(&mut self, now: Instant) -> Vec<String> {
        let mut causes = Vec::new();
        if let Some((name, source)) = self.compile.give_up(now) {
            let entry = self.entries.entry(Arc::clone(&name)).or_default();
            entry.compiling = entry.compiling.saturating_sub(1);
            self.telemetry.plugin_reload(&name, false);
            let reason = format!("compiling it takes more than {} s; make its functions smaller", LONGEST.as_secs());
            entry.refuse(&name, &source, reason, &self.tracker);
            causes.push(format!("plugin {name} given up"));
        }
        for (name, entry) in &mut self.entries {
            if let Some((source, reason)) = entry.check(now) {
                entry.refuse(name, &source, reason, &self.tracker);
                causes.push(format!("plugin {name} quarantined"));
            }
        }
        causes
    }

    /// What the admin API shows.
    pub(super) fn statuses(&self) -> Vec<PluginStatus> {
        self.entries.iter().map(|(name, entry)| entry.status(name)).collect()
    }
}

fn built_in(bytes: &[u8]) -> Version {
    Version { source: Source::BuiltIn, signed: None, bytes: bytes.to_vec() }
}

/// Asks for everything the version will have to do anyway.
fn try_router<'a>(
    router: &mut Router,
    providers: impl Iterator<Item = &'a super::contribute::Provider>,
) -> Result<(), String> {
    for provider in providers {
        router.configure(provider.handle, &provider.settings)?;
        for service in provider.services() {
            router
                .contribute(provider.handle, service)
                .map_err(|error| format!("service `{}`: {error}", service.name))?;
        }
    }
    Ok(())
}

impl PluginState {
    /// As the admin API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Orphaned => "orphaned",
            Self::Quarantined => "quarantined",
        }
    }
}
