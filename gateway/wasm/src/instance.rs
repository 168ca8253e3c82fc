//! What every live instance has, whichever world it is of: a store with limits, a deadline for each call, and the
//! knowledge that it is spent.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, Trap, UpdateDeadline};

use crate::engine::{Engine, ticks};
use crate::error::CallError;
use crate::limits::{Limits, Meter};
use crate::log::{Level, LogBudget, LogGate, PluginLog};
use crate::wasi::WasiState;

/// Handles a guest may hold at once. A language's runtime has a handful.
const HANDLES: usize = 1_000;

/// The part of the store's data both worlds have.
pub(crate) struct Common {
    pub(crate) meter: Meter,
    pub(crate) wasi: WasiState,
    pub(crate) log: LogGate,
}

impl Common {
    pub(crate) fn new(limits: Limits, wasi: WasiState, sink: Arc<dyn PluginLog>, budget: Arc<LogBudget>) -> Self {
        Self { meter: Meter::new(limits), wasi, log: LogGate { sink, budget } }
    }
}

/// Store data with the common part in it.
pub(crate) trait StoreData: 'static {
    fn common(&mut self) -> &mut Common;
}

/// A store that calls go through.
pub(crate) struct Guarded<D: 'static> {
    store: Store<D>,
    limits: Limits,
    /// Of the deadline of hooks.
    hook_ticks: u64,
    spent: bool,
    engine: Engine,
}

impl<D: StoreData> Guarded<D> {
    /// `transfer` is how many bytes the guest may hand to the host at once.
    pub(crate) fn new(engine: &Engine, data: D, limits: Limits, transfer: usize) -> Self {
        let mut store = Store::new(engine.inner(), data);
        store.limiter(|data| &mut data.common().meter);
        store.set_hostcall_fuel(transfer);
        store.set_max_component_handles(HANDLES);
        Self { store, limits, hook_ticks: ticks(limits.deadline), spent: false, engine: engine.clone() }
    }

    /// Runs guest code with a deadline of its own. An error spends the instance.
    pub(crate) fn run<R>(
        &mut self,
        deadline: Duration,
        call: impl FnOnce(&mut Store<D>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.begin(deadline)?;
        call(&mut self.store).map_err(|error| self.fail(error, deadline))
    }

    /// The same on a fiber. Giving the call up spends the instance as well: it cannot be entered again.
    pub(crate) async fn run_waiting<R>(
        &mut self,
        deadline: Duration,
        call: impl AsyncFnOnce(&mut Store<D>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.begin(deadline)?;
        self.spent = true;
        let result = call(&mut self.store).await;
        self.spent = false;
        result.map_err(|error| self.fail(error, deadline))
    }

    fn begin(&mut self, deadline: Duration) -> Result<(), CallError> {
        if self.spent {
            return Err(CallError::Spent);
        }
        let ticks = if deadline == self.limits.deadline { self.hook_ticks } else { ticks(deadline) };
        self.engine.tick_for(ticks);
        self.store.set_epoch_deadline(ticks);
        self.store.data_mut().common().wasi.forget_stderr();
        Ok(())
    }

    /// Lets time that was spent waiting not count: the deadline is for the guest's own work.
    pub(crate) fn extend_deadlines(&mut self, waited: impl Fn(&mut D) -> u64 + Send + Sync + 'static) {
        self.store.epoch_deadline_callback(move |mut store| match waited(store.data_mut()) {
            0 => Err(Trap::Interrupt.into()),
            ticks => Ok(UpdateDeadline::Continue(ticks)),
        });
    }

    /// What `run` does, with the deadline of hooks.
    pub(crate) fn hook<R>(&mut self, call: impl FnOnce(&mut Store<D>) -> wasmtime::Result<R>) -> Result<R, CallError> {
        self.run(self.limits.deadline, call)
    }

    /// Spends the instance because of what it answered.
    pub(crate) fn breach(&mut self, what: String) -> CallError {
        self.spent = true;
        CallError::Contract(what)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    pub(crate) fn data(&mut self) -> &mut D {
        self.store.data_mut()
    }

    #[cold]
    fn fail(&mut self, error: wasmtime::Error, deadline: Duration) -> CallError {
        self.spent = true;
        let stderr = self.store.data_mut().common().wasi.take_stderr();
        CallError::from_engine(error, deadline, self.limits, &stderr)
    }
}

impl crate::bindings::router::sluice::gateway::log::Host for Common {
    fn write(
        &mut self,
        level: crate::bindings::router::sluice::gateway::log::Level,
        message: String,
    ) -> wasmtime::Result<()> {
        self.log.write(Level::from(level), &message);
        Ok(())
    }
}
