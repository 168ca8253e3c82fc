//! Configured uses of policy plugins: each tried on the control plane's own instance before a worker sees it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sluice_model::link::Linked;
use sluice_model::{Action, Shards};

use super::plugins::{Plugins, Probe};
use super::settings_files;
use crate::config::Config;
use crate::live::{PolicyStatus, PolicyUse};
use crate::state::{Recording, Registry, Rests};

/// Every use by its step's qualified name.
pub(super) struct Policies {
    state: Arc<Registry>,
    uses: HashMap<Arc<str>, Use>,
    /// For the generation.
    statuses: Shards<PolicyStatus>,
    /// Uses that do not work, and why.
    errors: BTreeMap<Arc<str>, String>,
    /// Those whose settings name files.
    with_files: BTreeSet<Arc<str>>,
    /// Those whose settings name a `service`, and which.
    with_services: BTreeMap<Arc<str>, String>,
    /// Looked at again and not in force yet.
    fresh: BTreeSet<Arc<str>>,
}

struct Use {
    plugin: Arc<str>,
    settings: Arc<str>,
    /// The version that was asked.
    version: Option<u32>,
    policy: Result<Arc<PolicyUse>, String>,
    /// Limits the plugin wants, not in force before the generation is.
    opened: Option<Arc<Recording>>,
    /// Files the settings name.
    files: Vec<settings_files::Seen>,
}

impl Policies {
    pub(super) fn new(state: Arc<Registry>) -> Self {
        Self {
            state,
            uses: HashMap::new(),
            statuses: Shards::default(),
            errors: BTreeMap::new(),
            with_files: BTreeSet::new(),
            with_services: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }

    /// Whether a version accepts everything the one in force has accepted.
    pub(super) fn try_version(&mut self, plugin: &str, probe: &mut Probe) -> Result<(), String> {
        let of_plugin = self.uses.iter().filter(|(_, known)| &*known.plugin == plugin);
        for (name, policy) in of_plugin.filter_map(|(name, known)| Some((name, known.policy.as_ref().ok()?))) {
            let handle = probe.new_handle();
            let tried = probe.configure(handle, &policy.settings, Arc::new(Recording::default()));
            tried.map_err(|reason| {
                format!("it refuses policy `{name}`, which works with the version in force: {reason}")
            })?;
            probe.release(handle);
        }
        Ok(())
    }

    /// Makes uses for the policies among these steps; what has not changed is kept as it is.
    pub(super) fn prepare(&mut self, linked: &Linked, steps: &BTreeSet<Arc<str>>, plugins: &mut Plugins) {
        for name in steps {
            let before = self.uses.remove(name);
            let now = match linked.steps.get(name).map(|step| &step.spec.action) {
                Some(Action::Policy { plugin, settings }) => {
                    Some(self.renew(name, (plugin, settings), before, plugins))
                }
                _ => {
                    release(before, plugins);
                    None
                }
            };
            self.keep(name, now);
        }
    }

    fn renew(
        &mut self,
        name: &Arc<str>,
        (plugin, settings): (&str, &str),
        before: Option<Use>,
        plugins: &mut Plugins,
    ) -> Use {
        let kept = before.filter(|known| {
            let in_force = plugins.policy(plugin).ok().map(|probe| probe.plugin.id);
            *known.plugin == *plugin && *known.settings == *settings && known.version == in_force
        });
        match kept {
            Some(known) if known.files.iter().any(settings_files::Seen::has_changed) => {
                let again = self.make(name, plugin, settings, plugins);
                // A file that is being written is no reason to lose what works.
                if again.policy.is_err() && known.policy.is_ok() { Use { files: again.files, ..known } } else { again }
            }
            Some(known) => known,
            None => self.make(name, plugin, settings, plugins),
        }
    }

    /// Notes what a step is a use of now.
    fn keep(&mut self, name: &Arc<str>, now: Option<Use>) {
        let status = now.as_ref().map(|known| PolicyStatus {
            plugin: Arc::clone(&known.plugin),
            settings: Arc::clone(&known.settings),
            policy: known.policy.clone(),
        });
        self.statuses.set(name, status);
        self.errors.remove(name);
        self.with_files.remove(name);
        self.with_services.remove(name);
        let Some(now) = now else { return };
        if let Err(error) = &now.policy {
            self.errors.insert(Arc::clone(name), error.clone());
        }
        if !now.files.is_empty() {
            self.with_files.insert(Arc::clone(name));
        }
        if let Some(service) = service_of(&now.settings) {
            self.with_services.insert(Arc::clone(name), service);
        }
        self.fresh.insert(Arc::clone(name));
        self.uses.insert(Arc::clone(name), now);
    }

    fn make(&mut self, name: &Arc<str>, plugin: &str, settings: &str, plugins: &mut Plugins) -> Use {
        let mut known = Use {
            plugin: plugin.into(),
            settings: settings.into(),
            version: None,
            policy: Err(String::new()),
            opened: None,
            files: Vec::new(),
        };
        let probe = match plugins.policy(plugin) {
            Ok(probe) => probe,
            Err(reason) => return Use { policy: Err(reason), ..known },
        };
        known.version = Some(probe.plugin.id);
        let settings_files::Expanded { settings, files } = settings_files::expand(plugin, settings);
        known.files = files;
        let settings = match settings {
            Ok(settings) => settings,
            Err(reason) => {
                tracing::error!(policy = %name, plugin, %reason, "policy refused");
                return Use { policy: Err(reason), ..known };
            }
        };
        let handle = probe.new_handle();
        let recording = Arc::new(Recording::default());
        let state = self.state.policy(name);
        let configured =
            probe.configure(handle, &settings, Arc::clone(&recording) as Arc<dyn sluice_wasm::PolicyState>);
        let checked = configured
            .and_then(|subscription| recording.check(&state).map_err(|error| error.to_string()).map(|()| subscription));
        known.policy = checked.map(|subscription| {
            let plugin = Arc::clone(&probe.plugin);
            Arc::new(PolicyUse {
                name: Arc::clone(name),
                handle,
                plugin,
                settings: settings.into(),
                subscription,
                state,
                rests: Rests::default(),
            })
        });
        if let Err(reason) = &known.policy {
            tracing::error!(policy = %name, plugin, %reason, "policy refused");
        }
        known.opened = Some(recording);
        known
    }

    /// Brings limits into force. Counts stay.
    pub(super) fn commit(&mut self, config: &Config) {
        for name in std::mem::take(&mut self.fresh) {
            let Some(known) = self.uses.get_mut(&name) else { continue };
            if let Ok(policy) = &known.policy {
                policy.state.set_kv_quota(config.plugins.settings_of(&known.plugin).state);
            }
            if let (Ok(policy), Some(opened)) = (&known.policy, known.opened.take())
                && let Err(error) = opened.apply(&policy.state)
            {
                tracing::error!(policy = %policy.name, %error, "policy state cannot be opened");
            }
        }
    }

    /// Whether a policy is a use of this plugin.
    pub(super) fn use_plugin(&self, plugin: &str) -> bool {
        self.uses.values().any(|known| *known.plugin == *plugin)
    }

    /// Whether settings name files.
    pub(super) fn have_files(&self) -> bool {
        !self.with_files.is_empty()
    }

    /// Whether one of them is another one than was read.
    pub(super) fn files_have_changed(&self) -> bool {
        let files = self.with_files.iter().filter_map(|name| self.uses.get(name)).flat_map(|known| &known.files);
        files.into_iter().any(settings_files::Seen::has_changed)
    }

    /// Uses whose settings name a service that answers instead, and which.
    pub(super) fn answering(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.with_services.iter().map(|(name, service)| (name, service.as_str()))
    }

    /// The use behind a step.
    pub(super) fn get(&self, step: &str) -> Option<&Result<Arc<PolicyUse>, String>> {
        self.uses.get(step).map(|known| &known.policy)
    }

    /// Uses that do not work, and why.
    pub(super) fn errors(&self) -> &BTreeMap<Arc<str>, String> {
        &self.errors
    }

    /// All uses, for the generation.
    pub(super) fn statuses(&self) -> Shards<PolicyStatus> {
        self.statuses.clone()
    }
}

/// Settings that name a service do it by `service`.
fn service_of(settings: &str) -> Option<String> {
    let settings: serde_json::Value = serde_json::from_str(settings).ok()?;
    settings.get("service")?.as_str().filter(|service| !service.is_empty()).map(str::to_owned)
}

fn release(gone: Option<Use>, plugins: &mut Plugins) {
    if let Some(gone) = gone
        && let (Ok(policy), Ok(probe)) = (&gone.policy, plugins.policy(&gone.plugin))
        && probe.plugin.id == policy.plugin.id
    {
        probe.release(policy.handle);
    }
}
