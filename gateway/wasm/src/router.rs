//! A live router plugin.

use std::sync::Arc;
use std::time::Duration;

use sluice_model::{CatalogService, Contribution};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::artifact::Artifact;
use crate::bindings::router::sluice::gateway::{catalog, log, routing};
use crate::bindings::router::{Router, RouterPre};
use crate::convert;
use crate::error::CallError;
use crate::instance::{Common, Guarded, StoreData};
use crate::limits::Limits;
use crate::log::PluginLog;
use crate::wasi::{self, WasiState};

/// What a router may hand over at once. A service with a thousand instances and a dozen tags each fits.
const TRANSFER_BYTES: usize = 64 * 1024 * 1024;

/// A router plugin, ready to be called. One value serves every provider; `handle` tells which.
pub struct RouterInstance {
    guarded: Guarded<RouterData>,
    guest: Router,
}

/// What the store keeps.
pub(crate) struct RouterData(Common);

impl StoreData for RouterData {
    fn common(&mut self) -> &mut Common {
        &mut self.0
    }
}

impl WasiView for RouterData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.0.wasi.view()
    }
}

impl RouterInstance {
    /// Starts an instance of a router.
    ///
    /// # Errors
    /// The artifact is a policy, or its start functions failed.
    pub fn new(artifact: &Artifact, limits: Limits, log: Arc<dyn PluginLog>) -> Result<Self, CallError> {
        let pre = artifact.router().ok_or_else(|| CallError::Contract("it is not a router".to_owned()))?;
        let data = RouterData(Common::new(limits, WasiState::pure(), log, artifact.log_budget()));
        let mut guarded = Guarded::new(artifact.engine(), data, limits, TRANSFER_BYTES);
        let guest = guarded.run(setup_deadline(limits), |store| pre.instantiate(store))?;
        Ok(Self { guarded, guest })
    }

    /// Prepares a provider. The inner error is the plugin's refusal, for the operator.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn configure(&mut self, handle: u32, settings: &str) -> Result<Result<(), String>, CallError> {
        let plugin = self.guest.sluice_gateway_router_plugin();
        self.guarded.hook(|store| plugin.call_configure(store, handle, settings))
    }

    /// What the plugin makes of a service.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn contribute(&mut self, handle: u32, service: &CatalogService) -> Result<Contribution, CallError> {
        let plugin = self.guest.sluice_gateway_router_plugin();
        let tags = convert::tags(service);
        let instances = convert::instances(service, &tags);
        let service = catalog::Service { name: &service.name, instances: &instances };
        let contribution = self.guarded.hook(|store| plugin.call_contribute(store, handle, service))?;
        Ok(convert::contribution(contribution))
    }

    /// Whether a call has failed: every further one will.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.guarded.is_spent()
    }
}

/// Starting and configuring may take longer than a hook: a page fault for each page touched, regular expressions to
/// compile. Nobody waits for an answer meanwhile, but workers do wait.
pub(crate) fn setup_deadline(limits: Limits) -> Duration {
    limits.deadline.max(Duration::from_millis(250))
}

/// Links a component of this world.
pub(crate) fn link(linker: &mut Linker<RouterData>, component: &Component) -> wasmtime::Result<RouterPre<RouterData>> {
    log::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.0)?;
    catalog::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.0)?;
    routing::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.0)?;
    wasi::add_to_linker(linker)?;
    RouterPre::new(linker.instantiate_pre(component)?)
}

impl catalog::Host for Common {}
impl routing::Host for Common {}
