//! Time for guests: clocks to read, timers that nobody can wait for, and for routers a clock that stands still.

use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiView, async_trait};

pub(super) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<T, Clock>(linker, |data| WithTimers(data.clocks()))
}

struct Clock;

impl HasData for Clock {
    type Data<'a> = WithTimers<'a>;
}

/// An instance's clocks. Its timers are not the async runtime's, which need not be there.
struct WithTimers<'a>(WasiClocksCtxView<'a>);

impl monotonic_clock::Host for WithTimers<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.0.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.0.resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let due = when <= self.now()?;
        timer(self.0.table, due)
    }

    fn subscribe_duration(&mut self, time: u64) -> wasmtime::Result<Resource<DynPollable>> {
        timer(self.0.table, time == 0)
    }
}

fn timer(table: &mut ResourceTable, due: bool) -> wasmtime::Result<Resource<DynPollable>> {
    let timer = table.push(Timer { due })?;
    subscribe(table, timer)
}

/// Due from the beginning or never: no call lasts long enough for a timer to matter.
struct Timer {
    due: bool,
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        if !self.due {
            std::future::pending().await
        }
    }
}

/// A clock that always shows the same.
pub(super) struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}
