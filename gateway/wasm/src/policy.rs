//! A live policy plugin, and what it may ask of the host.

use std::fmt;
use std::mem;
use std::num::NonZeroU64;
use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::artifact::Artifact;
use crate::bindings::policy as guest;
use crate::bindings::policy::sluice::gateway::{exchange, policy_types, state};
use crate::bindings::router::sluice::gateway::log;
use crate::convert;
use crate::error::{CallError, Misuse};
use crate::instance::{Common, Guarded, StoreData};
use crate::limits::Limits;
use crate::log::PluginLog;
use crate::router::setup_deadline;
use crate::types::{BucketSpec, Field, Outcome, Reservation, Subscription, Verdict};
use crate::wasi::{self, WasiState};

/// What a policy may hand over at once: a generous error page.
const TRANSFER_BYTES: usize = 4 * 1024 * 1024;

/// The exchange a hook is about. It is lent to the instance for the time of the call.
pub trait ExchangeHost: Send + 'static {
    /// A value of the request.
    fn request_field(&self, field: Field<'_>) -> Option<String>;

    /// Replaces every value of that request header.
    ///
    /// # Errors
    /// What is wrong with the name or value, for the plugin's author. The same holds for the others.
    fn set_request_header(&mut self, name: &str, value: &str) -> Result<(), String>;

    /// Takes every value of that request header away.
    ///
    /// # Errors
    /// The header is not the plugin's to change.
    fn remove_request_header(&mut self, name: &str) -> Result<(), String>;

    /// Replaces every value of that header in the response the client will get.
    ///
    /// # Errors
    /// The name or value is not acceptable.
    fn set_response_header(&mut self, name: &str, value: &str) -> Result<(), String>;

    /// Takes every value of that header out of the response the client will get.
    ///
    /// # Errors
    /// The header is not the plugin's to change.
    fn remove_response_header(&mut self, name: &str) -> Result<(), String>;
}

/// The state of one policy, shared by all workers. It outlives instances, artifacts and generations.
pub trait PolicyState: Send + Sync {
    /// Opens a set of token buckets; opening it again changes the limits and keeps the counts. The number is the
    /// plugin's handle to it.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    fn open_bucket(&self, name: &str, spec: BucketSpec) -> Result<u32, String>;

    /// Takes tokens. A bucket that was never opened refuses.
    fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation;

    /// Gives tokens back.
    fn refund(&self, bucket: u32, key: &str, cost: u32);
}

/// A policy plugin, linked for an exchange type: made once, and started for each worker. Clones are cheap.
pub struct PolicyPre<E: ExchangeHost> {
    artifact: Artifact,
    linked: guest::PolicyPre<PolicyData<E>>,
}

impl<E: ExchangeHost> PolicyPre<E> {
    /// Links a policy.
    ///
    /// # Errors
    /// The artifact is a router.
    pub fn new(artifact: &Artifact) -> Result<Self, CallError> {
        let component = artifact.policy().ok_or_else(|| CallError::Contract("it is not a policy".to_owned()))?;
        let mut linker = Linker::new(artifact.engine().inner());
        let linked = link(&mut linker, component).map_err(|error| CallError::Contract(format!("{error:#}")))?;
        Ok(Self { artifact: artifact.clone(), linked })
    }
}

impl<E: ExchangeHost> Clone for PolicyPre<E> {
    fn clone(&self) -> Self {
        Self { artifact: self.artifact.clone(), linked: self.linked.clone() }
    }
}

impl<E: ExchangeHost> fmt::Debug for PolicyPre<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolicyPre").field(&self.artifact).finish()
    }
}

/// A policy plugin, ready to be called. One value serves every configured use; `handle` tells which.
pub struct PolicyInstance<E: ExchangeHost> {
    guarded: Guarded<PolicyData<E>>,
    guest: guest::Policy,
}

/// What the store keeps.
pub(crate) struct PolicyData<E> {
    common: Common,
    /// The state of each use, by handle.
    uses: Vec<Option<Arc<dyn PolicyState>>>,
    now: Now<E>,
}

/// What the guest is being called for.
enum Now<E> {
    /// Nothing, or its start functions.
    Idle,
    Configure {
        handle: u32,
    },
    Hook {
        handle: u32,
        exchange: E,
    },
    /// A hook that has no exchange any more.
    Complete {
        handle: u32,
    },
}

impl<E: ExchangeHost> PolicyInstance<E> {
    /// Starts an instance of a policy.
    ///
    /// # Errors
    /// Its start functions failed.
    pub fn new(policy: &PolicyPre<E>, limits: Limits, log: Arc<dyn PluginLog>) -> Result<Self, CallError> {
        let common = Common::new(limits, WasiState::new(), log, policy.artifact.log_budget());
        let data = PolicyData { common, uses: Vec::new(), now: Now::Idle };
        let mut guarded = Guarded::new(policy.artifact.engine(), data, limits, TRANSFER_BYTES);
        let guest = guarded.run(setup_deadline(limits), |store| policy.linked.instantiate(store))?;
        Ok(Self { guarded, guest })
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
        let plugin = self.guest.sluice_gateway_policy_plugin();
        let deadline = setup_deadline(self.guarded.limits());
        let data = self.guarded.data();
        let before = data.put_state(handle, Some(state));
        data.now = Now::Configure { handle };
        let result = self.guarded.run(deadline, |store| plugin.call_configure(store, handle, settings));
        let data = self.guarded.data();
        data.now = Now::Idle;
        if !matches!(result, Ok(Ok(_))) {
            data.put_state(handle, before);
        }
        Ok(result?.map(convert::subscription))
    }

    /// The use is gone.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn release(&mut self, handle: u32) -> Result<(), CallError> {
        let plugin = self.guest.sluice_gateway_policy_plugin();
        let result = self.guarded.hook(|store| plugin.call_release(store, handle));
        self.guarded.data().put_state(handle, None);
        result
    }

    /// Asks what becomes of a request. `fields` are those of the subscription, in its order. The exchange comes back
    /// whatever happens.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_request(&mut self, handle: u32, exchange: E, fields: &[Option<&str>]) -> (E, Result<Verdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let plugin = self.guest.sluice_gateway_policy_plugin();
        let result = self.guarded.hook(|store| plugin.call_on_request(store, handle, fields));
        self.finish(result)
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
        let plugin = self.guest.sluice_gateway_policy_plugin();
        let result = self.guarded.hook(|store| plugin.call_on_response(store, handle, context, status, headers));
        self.finish(result)
    }

    /// Says how an exchange ended.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_complete(&mut self, handle: u32, context: u64, outcome: Outcome) -> Result<(), CallError> {
        self.guarded.data().now = Now::Complete { handle };
        let plugin = self.guest.sluice_gateway_policy_plugin();
        let outcome = convert::outcome(outcome);
        let result = self.guarded.hook(|store| plugin.call_on_complete(store, handle, context, outcome));
        self.guarded.data().now = Now::Idle;
        result
    }

    /// Whether a call has failed: every further one will.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.guarded.is_spent()
    }

    fn finish(&mut self, result: Result<policy_types::Verdict, CallError>) -> (E, Result<Verdict, CallError>) {
        let Now::Hook { exchange, .. } = mem::replace(&mut self.guarded.data().now, Now::Idle) else {
            unreachable!("only the end of a hook ends it");
        };
        let verdict = result.and_then(|verdict| convert::verdict(verdict).map_err(|what| self.guarded.breach(what)));
        (exchange, verdict)
    }
}

/// Links a component of this world. It is checked with any exchange type and linked with the gateway's.
pub(crate) fn link<E: ExchangeHost>(
    linker: &mut Linker<PolicyData<E>>,
    component: &Component,
) -> wasmtime::Result<guest::PolicyPre<PolicyData<E>>> {
    log::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.common)?;
    policy_types::add_to_linker::<_, HasSelf<Common>>(linker, |data| &mut data.common)?;
    exchange::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    state::add_to_linker::<_, HasSelf<PolicyData<E>>>(linker, |data| data)?;
    wasi::add_to_linker(linker)?;
    guest::PolicyPre::new(linker.instantiate_pre(component)?)
}

impl<E: 'static> StoreData for PolicyData<E> {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl<E: ExchangeHost> WasiView for PolicyData<E> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.common.wasi.view()
    }
}

impl<E> PolicyData<E> {
    /// Puts the state of a use in place and gives what was there.
    fn put_state(&mut self, handle: u32, state: Option<Arc<dyn PolicyState>>) -> Option<Arc<dyn PolicyState>> {
        let place = handle as usize;
        if self.uses.len() <= place {
            self.uses.resize_with(place + 1, || None);
        }
        self.uses.get_mut(place).and_then(|slot| mem::replace(slot, state))
    }

    /// The state of the use that is being called.
    fn state(&self) -> Result<&dyn PolicyState, Misuse> {
        let handle = match self.now {
            Now::Configure { handle } | Now::Hook { handle, .. } | Now::Complete { handle } => handle,
            Now::Idle => return Err(Misuse("it used state outside a call".to_owned())),
        };
        let state = self.uses.get(handle as usize).and_then(Option::as_deref);
        state.ok_or_else(|| Misuse(format!("use {handle} is not configured")))
    }
}

impl policy_types::Host for Common {}

impl<E: ExchangeHost> exchange::Host for PolicyData<E> {
    fn request_field(&mut self, field: policy_types::Field) -> wasmtime::Result<Option<String>> {
        let Now::Hook { exchange, .. } = &self.now else { return Ok(None) };
        Ok(exchange.request_field(convert::field(field)))
    }

    fn set_request_header(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), String>> {
        self.change(|exchange| exchange.set_request_header(&name, &value))
    }

    fn remove_request_header(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.change(|exchange| exchange.remove_request_header(&name))
    }

    fn set_response_header(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), String>> {
        self.change(|exchange| exchange.set_response_header(&name, &value))
    }

    fn remove_response_header(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.change(|exchange| exchange.remove_response_header(&name))
    }
}

impl<E: ExchangeHost> PolicyData<E> {
    /// Outside a hook changes are ignored, as the contract says.
    fn change(&mut self, change: impl FnOnce(&mut E) -> Result<(), String>) -> wasmtime::Result<Result<(), String>> {
        match &mut self.now {
            Now::Hook { exchange, .. } => Ok(change(exchange)),
            _ => Ok(Ok(())),
        }
    }
}

impl<E: ExchangeHost> state::Host for PolicyData<E> {
    fn open_bucket(&mut self, name: String, spec: state::BucketSpec) -> wasmtime::Result<Result<u32, String>> {
        if !matches!(self.now, Now::Configure { .. }) {
            return Ok(Err(format!("bucket `{name}` can only be opened while configuring")));
        }
        let limits = (NonZeroU64::new(spec.average), NonZeroU64::new(spec.period_ns), NonZeroU64::new(spec.burst));
        let (Some(average), Some(period_ns), Some(burst)) = limits else {
            return Ok(Err(format!("bucket `{name}` needs an average, a period and a burst of at least 1")));
        };
        Ok(self.state()?.open_bucket(&name, BucketSpec { average, period_ns, burst }))
    }

    fn reserve(
        &mut self,
        bucket: u32,
        key: String,
        cost: u32,
        max_wait_ns: u64,
    ) -> wasmtime::Result<state::Reservation> {
        let reservation = self.state()?.reserve(bucket, &key, cost, max_wait_ns);
        Ok(convert::reservation(reservation))
    }

    fn refund(&mut self, bucket: u32, key: String, cost: u32) -> wasmtime::Result<()> {
        self.state()?.refund(bucket, &key, cost);
        Ok(())
    }
}

/// Stands for the gateway's exchange where a component is only checked.
pub(crate) enum NoExchange {}

impl ExchangeHost for NoExchange {
    fn request_field(&self, _: Field<'_>) -> Option<String> {
        match *self {}
    }

    fn set_request_header(&mut self, _: &str, _: &str) -> Result<(), String> {
        match *self {}
    }

    fn remove_request_header(&mut self, _: &str) -> Result<(), String> {
        match *self {}
    }

    fn set_response_header(&mut self, _: &str, _: &str) -> Result<(), String> {
        match *self {}
    }

    fn remove_response_header(&mut self, _: &str) -> Result<(), String> {
        match *self {}
    }
}
