//! A closed WASI: enough for a language's runtime to start and to die with a message, and nothing else.
//!
//! It is `wasmtime-wasi` with nothing granted: no directory, variable, argument, network or terminal. One thing is
//! different. That crate's synchronous functions wait on the thread's async runtime, which panics where the thread is
//! already in it, as a worker always is. So every function that waits and can be reached is defined a second time, over
//! the first, in a form that answers at once or traps: [`io`], [`time`], [`sockets`]. Those on files and open sockets
//! wait too and stay as they are, because nobody can get a file or socket to call them on.

mod io;
mod sockets;
mod stderr;
mod time;

use std::future::Future;
use std::pin::pin;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi::{Deterministic, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2};

use crate::error::Misuse;
use stderr::Stderr;
use time::Stopped;

/// The packages a plugin may import from.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// Streams and timers a guest may hold at once. A language's runtime has a handful.
const RESOURCES: usize = 1_000;
/// What a guest gets of random bytes in one call.
const RANDOM_BYTES: u64 = 64 * 1024;
/// Where a router's hash tables start.
const FIXED_SEED: u128 = 0x736c_7569_6365_726f_7574_6572;

/// What an instance keeps for its guest's runtime.
pub(crate) struct WasiState {
    context: WasiCtx,
    table: ResourceTable,
    stderr: Stderr,
}

impl WasiState {
    /// For guests that may know the time and have randomness.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// For guests whose answers depend on nothing but what they are asked: time stands still, chance is always the same.
    pub(crate) fn pure() -> Self {
        let chance = || Deterministic::new((0..=u8::MAX).collect());
        Self::with(|builder| {
            builder.wall_clock(Stopped).monotonic_clock(Stopped);
            builder.secure_random(chance()).insecure_random(chance()).insecure_random_seed(FIXED_SEED);
        })
    }

    fn with(differ: impl FnOnce(&mut WasiCtxBuilder)) -> Self {
        let stderr = Stderr::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let mut builder = WasiCtxBuilder::new();
        builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        builder.stdout(std::io::empty()).stderr(stderr.clone()).max_random_size(RANDOM_BYTES);
        differ(&mut builder);
        Self { context: builder.build(), table, stderr }
    }

    pub(crate) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }

    /// A new call: what was written before says nothing about it.
    pub(crate) fn forget_stderr(&mut self) {
        self.stderr.clear();
    }

    /// What was written to standard error during the call.
    pub(crate) fn take_stderr(&mut self) -> Vec<u8> {
        self.stderr.take()
    }
}

/// Whether an import is of WASI 0.2 and may be there.
pub(crate) fn is_known(import: &str) -> bool {
    import.contains("@0.2.") && PACKAGES.iter().any(|package| import.starts_with(package))
}

/// Answers WASI imports, whichever 0.2 release they are of.
pub(crate) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    io::add_to_linker(linker)?;
    time::add_to_linker(linker)?;
    sockets::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Runs what would wait, as far as it comes without waiting.
fn at_once<F: Future>(future: F) -> Result<F::Output, Misuse> {
    poll_noop(pin!(future)).ok_or_else(|| Misuse("plugins may not wait".to_owned()))
}
