//! The router plugin in force, replaced by a fresh instance whenever a call fails.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_model::{CatalogService, Contribution};
use sluice_wasm::{Artifact, CallError, Limits, RouterInstance};

use crate::telemetry::PluginLogger;

/// A router plugin.
pub(in super::super) struct Router {
    name: Arc<str>,
    artifact: Artifact,
    limits: Limits,
    sandbox: RouterInstance,
    /// What each handle was configured with.
    configured: HashMap<u32, String>,
}

impl Router {
    pub(super) fn new(name: &Arc<str>, artifact: Artifact, limits: Limits) -> Result<Self, String> {
        let sandbox =
            instantiate(name, &artifact, limits).map_err(|error| format!("cannot be instantiated: {error}"))?;
        Ok(Self { name: Arc::clone(name), artifact, limits, sandbox, configured: HashMap::new() })
    }

    /// Tells the plugin a provider's settings, unless it knows them.
    pub(in super::super) fn configure(&mut self, handle: u32, settings: &str) -> Result<(), String> {
        if self.configured.get(&handle).is_some_and(|known| known == settings) {
            return Ok(());
        }
        match self.sandbox.configure(handle, settings) {
            Ok(Ok(())) => {
                self.configured.insert(handle, settings.to_owned());
                Ok(())
            }
            Ok(Err(reason)) => Err(reason),
            Err(error) => {
                self.replace().map_err(|error| error.to_string())?;
                Err(error.to_string())
            }
        }
    }

    /// What the plugin makes of a service.
    pub(in super::super) fn contribute(
        &mut self,
        handle: u32,
        service: &CatalogService,
    ) -> Result<Contribution, CallError> {
        let result = self.sandbox.contribute(handle, service);
        if result.is_err() {
            self.replace()?;
        }
        result
    }

    /// A fresh instance that knows what the spent one knew.
    fn replace(&mut self) -> Result<(), CallError> {
        self.sandbox = instantiate(&self.name, &self.artifact, self.limits)?;
        for (handle, settings) in &self.configured {
            if let Err(reason) = self.sandbox.configure(*handle, settings)? {
                tracing::error!(plugin = %self.name, %reason, "router plugin refuses settings it had accepted before");
            }
        }
        Ok(())
    }
}

fn instantiate(name: &str, artifact: &Artifact, limits: Limits) -> Result<RouterInstance, CallError> {
    RouterInstance::new(artifact, limits, PluginLogger::shared(name))
}
