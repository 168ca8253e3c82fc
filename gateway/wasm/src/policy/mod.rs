//! A live policy plugin.

mod data;
mod exchange;
mod keyed;
mod lean_hooks;
mod outbound;
mod state;
mod waiting;

use std::fmt;
use std::mem;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::artifact::Artifact;
use crate::bindings::lean;
use crate::bindings::policy as guest;
use crate::bindings::policy::sluice::gateway as wit;
use crate::bindings::router::sluice::gateway::log;
use crate::bindings::waiting as fibers;
use crate::convert;
use crate::error::CallError;
use crate::grants::Grants;
use crate::host::{Ejector, ExchangeHost, PolicyState};
use crate::inspect;
use crate::instance::{Common, Guarded};
use crate::limits::Limits;
use crate::log::PluginLog;
use crate::router::setup_deadline;
use crate::types::{BodyVerdict, Outcome, Subscription, Verdict};
use crate::wasi::{self, WasiState};
use data::{Now, PolicyData, Use};

/// What a policy may hand over at once: a generous error page.
const TRANSFER_BYTES: usize = 4 * 1024 * 1024;
/// The longest schema that is shown.
const SCHEMA_BYTES: usize = 256 * 1024;

/// A policy plugin, linked for an exchange type: made once, and started for each worker. Clones are cheap.
pub struct PolicyPre<E: ExchangeHost> {
    artifact: Artifact,
    linked: Linked<E>,
    grants: Arc<Grants>,
}

impl<E: ExchangeHost> PolicyPre<E> {
    /// Links a policy.
    ///
    /// # Errors
    /// The artifact is a router.
    pub fn new(artifact: &Artifact) -> Result<Self, CallError> {
        let component = artifact.policy().ok_or_else(|| CallError::Contract("it is not a policy".to_owned()))?;
        let mut linker = Linker::new(artifact.engine().inner());
        let linked = link(&mut linker, component, artifact.waits())
            .map_err(|error| CallError::Contract(format!("{error:#}")))?;
        Ok(Self { artifact: artifact.clone(), linked, grants: Arc::default() })
    }

    /// The same for a plugin that was granted something.
    #[must_use]
    pub fn with_grants(self, grants: Grants) -> Self {
        Self { grants: Arc::new(grants), ..self }
    }

    /// What its instances may do.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }
}

impl<E: ExchangeHost> Clone for PolicyPre<E> {
    fn clone(&self) -> Self {
        Self { artifact: self.artifact.clone(), linked: self.linked.clone(), grants: Arc::clone(&self.grants) }
    }
}

impl<E: ExchangeHost> fmt::Debug for PolicyPre<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolicyPre").field(&self.artifact).finish()
    }
}

/// A component with everything it imports.
pub(crate) enum Linked<E: ExchangeHost> {
    /// Called as a function is.
    Straight(Straight<E>),
    /// Called on a fiber.
    Waiting(fibers::PolicyPre<PolicyData<E>>),
}

/// What is called as a function is, and where.
pub(crate) struct Straight<E: ExchangeHost> {
    pre: InstancePre<PolicyData<E>>,
    exports: guest::PolicyIndices,
    lean: Option<lean::LeanIndices>,
}

impl<E: ExchangeHost> Clone for Linked<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Straight(straight) => Self::Straight(straight.clone()),
            Self::Waiting(pre) => Self::Waiting(pre.clone()),
        }
    }
}

impl<E: ExchangeHost> Clone for Straight<E> {
    fn clone(&self) -> Self {
        Self { pre: self.pre.clone(), exports: self.exports.clone(), lean: self.lean.clone() }
    }
}

/// A policy plugin, ready to be called. One value serves every configured use; `handle` tells which.
pub struct PolicyInstance<E: ExchangeHost> {
    guarded: Guarded<PolicyData<E>>,
    guest: Guest,
}

/// What is called.
enum Guest {
    Straight(guest::Policy, Option<lean::Lean>),
    Waiting(fibers::Policy),
}

/// Calls an export from which the guest returns at once, whichever kind it is.
macro_rules! call {
    ($this:ident, $deadline:expr, $export:ident($($argument:expr),*)) => {
        match &$this.guest {
            Guest::Straight(guest, _) => {
                let plugin = guest.sluice_gateway_policy_plugin();
                $this.guarded.run($deadline, |store| plugin.$export(store, $($argument),*))
            }
            Guest::Waiting(guest) => {
                let plugin = guest.sluice_gateway_policy_plugin();
                let called = $this.guarded.run_waiting($deadline, async |store| plugin.$export(store, $($argument),*).await);
                waiting::at_once(called)
            }
        }
    };
}

impl<E: ExchangeHost> PolicyInstance<E> {
    /// Starts an instance of a policy.
    ///
    /// # Errors
    /// Its start functions failed.
    pub fn new(policy: &PolicyPre<E>, limits: Limits, log: Arc<dyn PluginLog>) -> Result<Self, CallError> {
        let common = Common::new(limits, WasiState::new(), log, policy.artifact.log_budget());
        let data = PolicyData::new(common, Arc::clone(&policy.grants));
        let mut guarded = Guarded::new(policy.artifact.engine(), data, limits, TRANSFER_BYTES);
        let deadline = setup_deadline(limits);
        let guest = match &policy.linked {
            Linked::Straight(straight) => guarded.run(deadline, |store| straight.start(store))?,
            Linked::Waiting(pre) => {
                waiting::prepare(&mut guarded, policy.artifact.engine());
                let made = guarded.run_waiting(deadline, async |store| pre.instantiate_async(store).await);
                Guest::Waiting(waiting::at_once(made)?)
            }
        };
        Ok(Self { guarded, guest })
    }

    /// The JSON schema of the plugin's settings, empty where it has none.
    ///
    /// # Errors
    /// The call failed, or the schema is too long; the instance is spent.
    pub fn schema(&mut self) -> Result<String, CallError> {
        let deadline = setup_deadline(self.guarded.limits());
        let schema = call!(self, deadline, call_schema())?;
        if schema.len() > SCHEMA_BYTES {
            return Err(self
                .guarded
                .breach(format!("its schema has {} bytes, more than {SCHEMA_BYTES}", schema.len())));
        }
        Ok(schema)
    }

    /// Prepares a use with its settings and state; for a handle that is in use, changes them. The inner error is the
    /// plugin's refusal, for the operator; the use stays as it was then.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn configure(
        &mut self,
        handle: u32,
        settings: &str,
        state: Arc<dyn PolicyState>,
    ) -> Result<Result<Subscription, String>, CallError> {
        let deadline = setup_deadline(self.guarded.limits());
        let data = self.guarded.data();
        let before = data.put(handle, Some(Use { state, fields: Vec::new(), wants_more: false }));
        data.now = Now::Configure { handle };
        let result = call!(self, deadline, call_configure(handle, settings));
        let data = self.guarded.data();
        data.now = Now::Idle;
        let result = result.map(|answer| answer.map(|wanted| convert::subscription(wanted, &data.grants)));
        match &result {
            Ok(Ok(wanted)) => data.subscribe(handle, wanted),
            _ => drop(data.put(handle, before)),
        }
        result
    }

    /// The use is gone.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn release(&mut self, handle: u32) -> Result<(), CallError> {
        let result = call!(self, self.guarded.limits().deadline, call_release(handle));
        self.guarded.data().put(handle, None);
        result
    }

    /// Asks what becomes of a request. `fields` are those of the subscription, in its order. The exchange comes back
    /// whatever happens.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_request(&mut self, handle: u32, exchange: E, fields: &[Option<&str>]) -> (E, Result<Verdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, self.guarded.limits().deadline, call_on_request(handle, fields));
        self.finish(result, convert::verdict)
    }

    /// Asks what becomes of a response. `context` is what `on_request` returned, `headers` are those of the
    /// subscription, in its order. The exchange comes back whatever happens.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_response(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        status: u16,
        headers: &[Option<&str>],
    ) -> (E, Result<Verdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, self.guarded.limits().deadline, call_on_response(handle, context, status, headers));
        self.finish(result, convert::verdict)
    }

    /// Shows the whole body of a request. The exchange comes back whatever happens.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_request_body(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        body: &[u8],
    ) -> (E, Result<BodyVerdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, self.guarded.limits().deadline, call_on_request_body(handle, context, body));
        self.finish(result, convert::body_verdict)
    }

    /// Shows the whole body of a response. The exchange comes back whatever happens.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_response_body(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        status: u16,
        body: &[u8],
    ) -> (E, Result<BodyVerdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, self.guarded.limits().deadline, call_on_response_body(handle, context, status, body));
        self.finish(result, convert::body_verdict)
    }

    /// Says how an exchange ended. `ejector` is the instance that answered, where one did.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_complete(
        &mut self,
        handle: u32,
        context: u64,
        outcome: Outcome<'_>,
        ejector: Option<Box<dyn Ejector>>,
    ) -> Result<(), CallError> {
        self.guarded.data().now = Now::Complete { handle, instance: None, ejector };
        let outcome = convert::outcome(outcome);
        let result = call!(self, self.guarded.limits().deadline, call_on_complete(handle, context, outcome));
        self.guarded.data().now = Now::Idle;
        result
    }

    /// Bytes of memory the instance has.
    #[must_use]
    pub fn memory(&mut self) -> usize {
        self.guarded.data().memory()
    }

    /// Whether a call has failed: every further one will.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.guarded.is_spent()
    }

    fn finish<T, V>(
        &mut self,
        result: Result<T, CallError>,
        convert: impl FnOnce(T) -> Result<V, String>,
    ) -> (E, Result<V, CallError>) {
        let Now::Hook { exchange, .. } = mem::replace(&mut self.guarded.data().now, Now::Idle) else {
            unreachable!("only the end of a hook ends it");
        };
        let verdict = result.and_then(|verdict| convert(verdict).map_err(|what| self.guarded.breach(what)));
        (exchange, verdict)
    }
}

/// Links a component of this world. It is checked with any exchange type and linked with the gateway's.
pub(crate) fn link<E: ExchangeHost>(
    linker: &mut Linker<PolicyData<E>>,
    component: &Component,
    waits: bool,
) -> wasmtime::Result<Linked<E>> {
    log::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.common)?;
    wit::policy_types::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.common)?;
    wit::exchange::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    lean::sluice::gateway::hook::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    wit::state::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    keyed::add_to_linker(linker)?;
    wit::clock::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    wit::random::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    wit::system::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    wasi::add_to_linker(linker)?;
    if waits {
        fibers::sluice::gateway::outbound::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
        return Ok(Linked::Waiting(fibers::PolicyPre::new(linker.instantiate_pre(component)?)?));
    }
    let pre = linker.instantiate_pre(component)?;
    let exports = guest::PolicyIndices::new(&pre)?;
    let lean = inspect::is_lean(component).then(|| lean::LeanIndices::new(&pre)).transpose()?;
    Ok(Linked::Straight(Straight { pre, exports, lean }))
}

impl<E: ExchangeHost> Straight<E> {
    fn start(&self, store: &mut Store<PolicyData<E>>) -> wasmtime::Result<Guest> {
        let instance = self.pre.instantiate(&mut *store)?;
        let policy = self.exports.load(&mut *store, &instance)?;
        let lean = self.lean.as_ref().map(|lean| lean.load(&mut *store, &instance)).transpose()?;
        Ok(Guest::Straight(policy, lean))
    }
}

impl wit::policy_types::Host for Common {}
