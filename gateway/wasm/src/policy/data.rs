//! What a policy's store keeps, and which use a call of the host is for.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::bindings::policy::sluice::gateway::policy_types;
use crate::engine::Engine;
use crate::error::Misuse;
use crate::grants::Grants;
use crate::host::{AskedInstance, Ejector, ExchangeHost, Outbound, PolicyState};
use crate::instance::{Common, StoreData};
use crate::types::{Field, Subscription};

/// The data of one instance.
pub(crate) struct PolicyData<E> {
    pub(super) common: Common,
    pub(super) grants: Arc<Grants>,
    /// By handle.
    uses: Vec<Option<Use>>,
    pub(super) now: Now<E>,
    /// The verdict of the hook at hand, where it is not its result.
    pub(super) decided: Option<policy_types::Verdict>,
    /// Keys of its own, which nobody outside can know.
    chance: RandomState,
    drawn: u64,
    pub(super) waiting: Option<Waiting>,
}

/// What the host knows of a use of the plugin.
pub(super) struct Use {
    pub(super) state: Arc<dyn PolicyState>,
    /// What it subscribed to.
    pub(super) fields: Vec<Field<'static>>,
    /// Whether it wants to hear of an exchange after the first hook.
    pub(super) wants_more: bool,
}

/// What an instance that waits has besides.
pub(super) struct Waiting {
    pub(super) engine: Engine,
    pub(super) outbound: Option<Arc<dyn Outbound>>,
    /// Ticks of the clock that it has waited, as far as they have not been added to its deadline.
    pub(super) waited: u64,
    /// For the rest of a call after a wait.
    pub(super) deadline: Duration,
    /// Requests it has sent in this call, and how long it has waited for their answers.
    pub(super) sent: u32,
    pub(super) waited_for: Duration,
}

/// What the guest is being called for.
pub(super) enum Now<E> {
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
        /// Known where it can be asked for.
        instance: Option<Arc<dyn AskedInstance>>,
        ejector: Option<Box<dyn Ejector>>,
    },
}

impl<E> PolicyData<E> {
    pub(super) fn new(common: Common, grants: Arc<Grants>) -> Self {
        Self {
            common,
            grants,
            uses: Vec::new(),
            now: Now::Idle,
            decided: None,
            chance: RandomState::new(),
            drawn: 0,
            waiting: None,
        }
    }

    /// Puts a use in place and gives what was there.
    pub(super) fn put(&mut self, handle: u32, used: Option<Use>) -> Option<Use> {
        let place = handle as usize;
        if self.uses.len() <= place {
            self.uses.resize_with(place + 1, || None);
        }
        self.uses.get_mut(place).and_then(|slot| mem::replace(slot, used))
    }

    /// A use, where it is configured.
    pub(super) fn get(&self, handle: u32) -> Option<&Use> {
        self.uses.get(handle as usize)?.as_ref()
    }

    /// The use that has just been configured subscribes to this.
    pub(super) fn subscribe(&mut self, handle: u32, wanted: &Subscription) {
        if let Some(used) = self.uses.get_mut(handle as usize).and_then(Option::as_mut) {
            used.fields.clone_from(&wanted.request_fields);
            used.wants_more = wanted.wants_more();
        }
    }

    /// The use that is being called.
    pub(super) fn at_hand(&self) -> Result<&Use, Misuse> {
        let handle = match self.now {
            Now::Configure { handle } | Now::Hook { handle, .. } | Now::Complete { handle, .. } => handle,
            Now::Idle => return Err(Misuse("it used state outside a call".to_owned())),
        };
        self.get(handle).ok_or_else(|| Misuse(format!("use {handle} is not configured")))
    }

    /// The state of the use that is being called.
    pub(super) fn state(&self) -> Result<&dyn PolicyState, Misuse> {
        self.at_hand().map(|used| &*used.state)
    }

    /// Whether something may be opened now.
    pub(super) fn is_configuring(&self) -> bool {
        matches!(self.now, Now::Configure { .. })
    }

    /// The next of a sequence that cannot be foreseen.
    pub(super) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = self.chance.build_hasher();
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// Another number for other values of what a use subscribed to, never 0.
    pub(super) fn mark(&self, used: &Use, exchange: &E) -> u64
    where
        E: ExchangeHost,
    {
        let mut hasher = self.chance.build_hasher();
        for field in &used.fields {
            exchange.look(field, &mut |value| value.hash(&mut hasher));
        }
        hasher.finish().max(1)
    }

    pub(super) fn memory(&self) -> usize {
        self.common.meter.used()
    }
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
