//! A version of a policy plugin as the control plane runs it.

use std::sync::Arc;

use sluice_wasm::{Grants, PolicyInstance, PolicyPre, PolicyState, Subscription, World};

use super::Source;
use super::built_in::trust;
use super::version::{Candidate, limits_for};
use crate::config::{self, Config};
use crate::http::Exchange;
use crate::live::{FailureMode, Isolation, Plugin};
use crate::telemetry::{PluginLogger, Telemetry};

/// The control plane's own instance of a policy plugin: settings are tried here before any worker sees them.
pub(in super::super) struct Probe {
    pub(in super::super) plugin: Arc<Plugin>,
    sandbox: Option<PolicyInstance<Box<Exchange>>>,
    next_handle: u32,
}

impl Probe {
    pub(super) fn new(
        name: &Arc<str>,
        id: u32,
        version: &Candidate,
        config: &Config,
        telemetry: &Telemetry,
    ) -> Result<Self, String> {
        let settings = config.plugins.settings_of(name);
        let failure = match settings.failure {
            config::Failure::Closed => FailureMode::Closed,
            config::Failure::Open => FailureMode::Open,
        };
        let isolation = match settings.isolation {
            config::Isolation::None => Isolation::None,
            config::Isolation::Request => Isolation::Request,
        };
        let limits = limits_for(config, name, World::Policy);
        let metrics = telemetry.plugin(name);
        let artifact = version.artifact.clone();
        let granted = granted(name, version, &settings.grants)?;
        let grants = Grants::parse(granted.iter().map(String::as_str));
        let grants = grants.map_err(|error| format!("its `grants`: {error}"))?;
        let pre = PolicyPre::new(&artifact).map_err(|error| format!("cannot be linked: {error}"))?.with_grants(grants);
        let ejects = artifact.uses("exchange", "eject-instance");
        let schema = artifact
            .schema(limits, PluginLogger::shared(name))
            .map_err(|error| format!("cannot be asked for its schema: {error}"))?;
        let (waits, reads_response) = (artifact.waits(), artifact.uses("exchange", "response-header"));
        let asks_instance = artifact.uses("hook", "instance");
        let plugin = Plugin {
            name: Arc::clone(name),
            id,
            artifact,
            pre,
            granted,
            ejects,
            schema,
            waits,
            asks_instance,
            reads_response,
            limits,
            failure,
            isolation,
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

/// What a version may do: what is configured, and what a default plugin may. A file in the place of a default plugin may
/// read what that one reads, but whom it sends requests to is for the operator to say.
fn granted(name: &str, version: &Candidate, configured: &[String]) -> Result<Vec<String>, String> {
    let sends = |grant: &&str| grant.starts_with("outbound:");
    let is_file = version.source != Source::BuiltIn;
    let missed: Vec<_> = trust(name).grants.iter().copied().filter(|grant| is_file && sends(grant)).collect();
    if version.artifact.waits() && !missed.is_empty() && !configured.iter().any(|grant| sends(&grant.as_str())) {
        return Err(format!(
            "it sends requests, and a file does not inherit what the built-in `{name}` is trusted with; say whom it may \
             ask: `[plugins.settings.{name}]` with `grants = [\"{}\"]`",
            missed.join("\", \"")
        ));
    }
    let inherited = trust(name).grants.iter().filter(|grant| !missed.contains(grant));
    Ok(configured.iter().cloned().chain(inherited.map(|grant| (*grant).to_owned())).collect())
}
