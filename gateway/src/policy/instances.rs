//! A worker's instances: one for each plugin version in use, prepared for each use when it is first met.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sluice_wasm::{CallError, Outbound, PolicyInstance};

use super::waiting::Waiting;
use crate::http::Exchange;
use crate::live::{Isolation, Plugin, PolicyUse};
use crate::telemetry::PluginLogger;

pub(super) type Sandbox = PolicyInstance<Box<Exchange>>;

/// One worker's plugin instances.
#[derive(Default)]
pub struct Instances {
    by_version: RefCell<HashMap<u32, Slot, foldhash::fast::FixedState>>,
    /// Of plugins that wait.
    pub(super) waiting: RefCell<HashMap<u32, Waiting, foldhash::fast::FixedState>>,
    pub(super) outbound: Option<Arc<dyn Outbound>>,
}

/// A reading of the clock that ends one call and begins the next, where nothing else happens between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading(Option<Instant>);

pub(super) struct Slot {
    plugin: Weak<Plugin>,
    pub(super) sandbox: Sandbox,
    /// The uses this instance was configured for.
    uses: HashMap<u32, Weak<PolicyUse>, foldhash::fast::FixedState>,
}

/// Why a policy could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// All its instances are in use.
    #[error("all instances of the plugin are waiting")]
    Busy,
    /// Its last calls did not end by themselves.
    #[error("the policy rests, for one call after the other was stopped at its deadline")]
    Resting,
    /// The version accepted these settings once, on the control plane.
    #[error("the plugin refused settings it had accepted before: {0}")]
    Refused(String),
}

impl AskError {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Call(error) => error.kind(),
            Self::Busy => "busy",
            Self::Resting => "resting",
            Self::Refused(_) => "refused",
        }
    }
}

impl Reading {
    /// One that was taken for something else.
    #[must_use]
    pub fn taken(now: Instant) -> Self {
        Self(Some(now))
    }

    fn begin(self) -> Instant {
        self.0.unwrap_or_else(Instant::now)
    }

    fn end(&mut self, begun: Instant) -> Duration {
        let now = Instant::now();
        self.0 = Some(now);
        now.saturating_duration_since(begun)
    }
}

impl Instances {
    /// No instances yet; requests of plugins go that way.
    #[must_use]
    pub fn new(outbound: Arc<dyn Outbound>) -> Self {
        Self { outbound: Some(outbound), ..Self::default() }
    }

    /// Calls a hook on this worker's instance of the policy's plugin; `value` goes in and comes back out. What asks is told
    /// when the call began.
    pub(super) fn call<T, R>(
        &self,
        policy: &Arc<PolicyUse>,
        hook: &'static str,
        reading: &mut Reading,
        value: T,
        ask: impl FnOnce(&mut Sandbox, T, Instant) -> (T, Result<R, CallError>),
    ) -> (T, Result<R, AskError>) {
        let begun = reading.begin();
        let mut slots = self.by_version.borrow_mut();
        let prepared = may_call(policy, begun).and_then(|()| prepare(&mut slots, policy));
        let (value, result) = match prepared {
            Ok(sandbox) => {
                let (value, result) = ask(sandbox, value, begun);
                (value, result.map_err(AskError::from))
            }
            Err(error) => (value, Err(error)),
        };
        // A use that rests has not touched the instance others have.
        let spoilt = result.as_ref().is_err_and(|error| !matches!(error, AskError::Resting));
        if spoilt || policy.plugin.isolation == Isolation::Request {
            slots.remove(&policy.plugin.id);
        }
        let took = reading.end(begun);
        bill(policy, hook, took, result.as_ref().err());
        (value, result)
    }

    /// Lets go of versions and uses that no generation refers to any more. To be called every few seconds.
    pub fn sweep(&self) {
        self.by_version.borrow_mut().retain(|_, slot| slot.sweep());
        self.waiting.borrow_mut().retain(|_, waiting| waiting.sweep());
    }
}

/// Whether a use is to be called now.
pub(super) fn may_call(policy: &PolicyUse, now: Instant) -> Result<(), AskError> {
    if policy.rests.rests(|| policy.state.ns_at(now)) { Err(AskError::Resting) } else { Ok(()) }
}

/// Notes what a call took and whether it failed.
pub(super) fn bill(policy: &PolicyUse, hook: &'static str, took: Duration, failure: Option<&AskError>) {
    match failure {
        None => policy.rests.ended(),
        Some(error) => {
            report(policy, hook, error);
            match error {
                AskError::Call(CallError::Deadline(_)) => policy.rests.stopped(policy.state.now_ns()),
                AskError::Call(_) => policy.rests.failed(took, policy.state.now_ns()),
                AskError::Busy | AskError::Resting | AskError::Refused(_) => {}
            }
        }
    }
    policy.plugin.metrics.record(hook, took, failure.map(AskError::kind));
}

/// The instance of a policy's plugin, made and configured where that has not happened yet.
fn prepare<'a, S: BuildHasher>(
    slots: &'a mut HashMap<u32, Slot, S>,
    policy: &Arc<PolicyUse>,
) -> Result<&'a mut Sandbox, AskError> {
    let plugin = &policy.plugin;
    let slot = match slots.entry(plugin.id) {
        Entry::Occupied(slot) => slot.into_mut(),
        Entry::Vacant(place) => place.insert(Slot::new(plugin)?),
    };
    slot.prepare(policy)?;
    Ok(&mut slot.sandbox)
}

impl Slot {
    pub(super) fn new(plugin: &Arc<Plugin>) -> Result<Self, AskError> {
        let sandbox = Sandbox::new(&plugin.pre, plugin.limits, PluginLogger::shared(&plugin.name))?;
        Ok(Self { plugin: Arc::downgrade(plugin), sandbox, uses: HashMap::default() })
    }

    /// Configures the instance for a use it has not met.
    pub(super) fn prepare(&mut self, policy: &Arc<PolicyUse>) -> Result<(), AskError> {
        if !self.uses.contains_key(&policy.handle) {
            let state = Arc::clone(&policy.state);
            self.sandbox.configure(policy.handle, &policy.settings, state)?.map_err(AskError::Refused)?;
            self.uses.insert(policy.handle, Arc::downgrade(policy));
        }
        Ok(())
    }

    /// Lets go of uses that are gone; answers whether the instance is of any further use.
    pub(super) fn sweep(&mut self) -> bool {
        if let Some(plugin) = self.plugin.upgrade() {
            plugin.metrics.has_memory(self.sandbox.memory());
        }
        let gone: Vec<u32> =
            self.uses.iter().filter(|(_, policy)| policy.strong_count() == 0).map(|(handle, _)| *handle).collect();
        let released = gone.into_iter().all(|handle| {
            self.uses.remove(&handle);
            self.sandbox.release(handle).is_ok()
        });
        released && self.plugin.strong_count() > 0
    }
}

fn report(policy: &PolicyUse, hook: &str, error: &AskError) {
    if policy.plugin.metrics.should_log_failure() {
        tracing::error!(policy = %policy.name, plugin = %policy.plugin.name, hook, kind = error.kind(), error = %error, "policy call failed");
    }
}
