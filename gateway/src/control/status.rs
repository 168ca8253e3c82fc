//! What the control plane tells the admin API, replaced as a whole whenever it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use sluice_model::Diagnostic;
use sluice_model::link::{LinkProblem, Subject};
use sluice_wasm::World;

use super::plugins::{Signed, Source};
use crate::live::Plugin;

/// The control plane's state, for people.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Whether requests can be served as configured.
    pub ready: bool,
    /// Plugins by name.
    pub plugins: Vec<PluginStatus>,
    /// Problems with services' tags and with names, by provider.
    pub refusals: BTreeMap<Arc<str>, Vec<Refusal>>,
    /// By provider.
    pub providers: BTreeMap<Arc<str>, ProviderStatus>,
    /// Why the router plugin makes nothing of a provider's services.
    pub router_errors: BTreeMap<Arc<str>, String>,
    /// Policies whose settings were refused, and why.
    pub policy_errors: BTreeMap<Arc<str>, String>,
    /// The last change that was refused, and why.
    pub last_refused: Option<(SystemTime, String)>,
}

/// One plugin.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Router or policy, once a version is known.
    pub world: Option<World>,
    /// The plugin's own name for the version shown.
    pub version: Option<String>,
    /// SHA-256 of the version shown.
    pub digest: Option<String>,
    /// Where that version came from.
    pub source: Option<Source>,
    /// Who signed that version, where that was asked for.
    pub signed: Option<Signed>,
    /// What it does.
    pub state: PluginState,
    /// Why the newest version is not in force.
    pub last_error: Option<String>,
    /// How long compiling took.
    pub compile_time: Option<Duration>,
    /// The version in force, where it is a policy.
    pub plugin: Option<Arc<Plugin>>,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// Its first version is being compiled.
    Compiling,
    /// A version is in force.
    Active,
    /// No version works.
    Failed,
    /// In force, and its file is gone.
    Orphaned,
    /// The file's version failed too often; the one before it is in force again.
    Quarantined,
}

/// A provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderStatus {
    /// The registry's index, where it has one.
    pub index: Option<u64>,
    /// The last good answer.
    pub last_contact: Option<SystemTime>,
    /// The last failure.
    pub last_error: Option<String>,
    /// Services in the last catalog.
    pub services: usize,
}

/// Something that was left out or repaired, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The service.
    pub service: Arc<str>,
    /// What and why.
    pub diagnostic: Diagnostic,
}

/// Who has found problems, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The linker, or the router plugin.
    Linked(Subject),
    /// The compiler, in a route.
    Route(Arc<str>),
    /// The compiler, in TCP routes.
    TcpRoutes,
    /// The compiler, at an entrypoint.
    Entrypoints,
    /// Services that are to answer instead of others.
    Answers,
}

/// Holds the [`Status`].
#[derive(Debug, Default)]
pub struct Tracker {
    status: Mutex<Status>,
    /// What [`Status::refusals`] are made of when somebody asks.
    problems: Mutex<BTreeMap<Place, Vec<LinkProblem>>>,
    consul: OnceLock<sluice_consul::Handle>,
}

impl Tracker {
    /// A copy of the status now.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        Status { refusals: refusals(problems.values().flatten()), ..status }
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A Consul watcher has been started.
    pub(super) fn follow_consul(&self, handle: sluice_consul::Handle) {
        // There is one Consul provider, so this is called once.
        self.consul.set(handle).ok();
    }

    /// The Consul watcher, where there is one: its status in full, and its held removals to accept.
    pub fn consul(&self) -> Option<&sluice_consul::Handle> {
        self.consul.get()
    }

    /// A provider says how it is.
    pub fn provider(&self, name: &Arc<str>, provider: ProviderStatus) {
        self.change(|status| {
            status.providers.insert(Arc::clone(name), provider);
        });
    }

    /// A change was refused.
    pub fn refused(&self, reason: String) {
        self.change(|status| status.last_refused = Some((SystemTime::now(), reason)));
    }

    pub(super) fn ready(&self, ready: bool) {
        self.change(|status| status.ready = ready);
    }

    pub(super) fn router_errors(&self, errors: BTreeMap<Arc<str>, String>) {
        self.change(|status| {
            let news = errors.iter().find(|(name, reason)| status.router_errors.get(*name) != Some(*reason));
            if let Some((name, reason)) = news {
                status.last_refused = Some((SystemTime::now(), format!("{name}: {reason}")));
            }
            status.router_errors = errors;
        });
    }

    pub(super) fn policy_errors(&self, errors: &BTreeMap<Arc<str>, String>) {
        self.change(|status| {
            if status.policy_errors != *errors {
                status.policy_errors.clone_from(errors);
            }
        });
    }

    pub(super) fn plugins(&self, plugins: Vec<PluginStatus>) {
        self.change(|status| status.plugins = plugins);
    }

    /// Notes what is found now at each of these places, in place of what was; what is new goes into the log.
    pub(super) fn found(&self, found: impl Iterator<Item = (Place, Vec<LinkProblem>)>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, now) in found {
            let before = problems.get(&place).map_or(&[][..], Vec::as_slice);
            now.iter().filter(|problem| !before.contains(problem)).for_each(log);
            if now.is_empty() {
                problems.remove(&place);
            } else {
                problems.insert(place, now);
            }
        }
    }
}

/// By provider, ordered by service.
fn refusals<'a>(problems: impl Iterator<Item = &'a LinkProblem>) -> BTreeMap<Arc<str>, Vec<Refusal>> {
    let mut refusals: BTreeMap<Arc<str>, Vec<Refusal>> = BTreeMap::new();
    for LinkProblem { provider, origin, diagnostic } in problems {
        let refusal = Refusal { service: Arc::clone(origin), diagnostic: diagnostic.clone() };
        refusals.entry(Arc::clone(provider)).or_default().push(refusal);
    }
    for list in refusals.values_mut() {
        list.sort_by(|a, b| a.service.cmp(&b.service));
    }
    refusals
}

fn log(LinkProblem { provider, origin: service, diagnostic }: &LinkProblem) {
    let Diagnostic { severity, object, tag, message } = diagnostic;
    match severity {
        sluice_model::Severity::Error => {
            tracing::error!(%provider, %service, object, tag, "left out: {message}")
        }
        sluice_model::Severity::Warning => tracing::warn!(%provider, %service, object, tag, "{message}"),
    }
}
