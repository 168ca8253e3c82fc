//! What a policy's store keeps, and which use a call of the host is for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::engine::Engine;
use crate::error::Misuse;
use crate::grants::Grants;
use crate::host::{Ejector, ExchangeHost, Outbound, PolicyState};
use crate::instance::{Common, StoreData};

/// The data of one instance.
pub(crate) struct PolicyData<E> {
    pub(super) common: Common,
    pub(super) grants: Arc<Grants>,
    /// The state of each use, by handle.
    uses: Vec<Option<Arc<dyn PolicyState>>>,
    pub(super) now: Now<E>,
    /// Keys of its own, which nobody outside can know.
    chance: RandomState,
    drawn: u64,
    pub(super) waiting: Option<Waiting>,
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
        ejector: Option<Box<dyn Ejector>>,
    },
}

impl<E> PolicyData<E> {
    pub(super) fn new(common: Common, grants: Arc<Grants>) -> Self {
        Self { common, grants, uses: Vec::new(), now: Now::Idle, chance: RandomState::new(), drawn: 0, waiting: None }
    }

    /// Puts the state of a use in place and gives what was there.
    pub(super) fn put_state(
        &mut self,
        handle: u32,
        state: Option<Arc<dyn PolicyState>>,
    ) -> Option<Arc<dyn PolicyState>> {
        let place = handle as usize;
        if self.uses.len() <= place {
            self.uses.resize_with(place + 1, || None);
        }
        self.uses.get_mut(place).and_then(|slot| mem::replace(slot, state))
    }

    /// The state of the use that is being called.
    pub(super) fn state(&self) -> Result<&dyn PolicyState, Misuse> {
        let handle = match self.now {
            Now::Configure { handle } | Now::Hook { handle, .. } | Now::Complete { handle, .. } => handle,
            Now::Idle => return Err(Misuse("it used state outside a call".to_owned())),
        };
        let state = self.uses.get(handle as usize).and_then(Option::as_deref);
        state.ok_or_else(|| Misuse(format!("use {handle} is not configured")))
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
