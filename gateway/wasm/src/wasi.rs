//! A closed WASI: enough for a language's runtime to start and to die with a message, and nothing else.
//!
//! Toolchains import a dozen WASI interfaces for things a plugin never does. What is not answered here traps when it is
//! called. Nothing here blocks, and nothing touches the system: that is why it is not the full implementation, whose
//! synchronous calls wait on the thread's async runtime, which a worker cannot do. The only thing to wait for is room
//! in an output stream, and that is always there.

use wasmtime::StoreContextMut;
use wasmtime::component::{Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource};

use crate::error::Misuse;

/// The packages a plugin may import from.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// What of a guest's standard error is kept for the message of a trap.
const STDERR_BYTES: usize = 4 * 1024;
/// What a guest may write at once.
const WRITE_BYTES: u64 = 4 * 1024;
/// Which stream a handle means.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// What an instance keeps for its guest's runtime.
pub(crate) struct WasiState {
    seed: (u64, u64),
    stderr: Vec<u8>,
}

impl WasiState {
    /// `seed` is what the guest's hash tables start from.
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        Self { seed, stderr: Vec::new() }
    }

    /// A new call: what was written before says nothing about it.
    pub(crate) fn forget_stderr(&mut self) {
        self.stderr.clear();
    }

    /// What was written to standard error during the call.
    pub(crate) fn take_stderr(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stderr)
    }

    fn write(&mut self, stream: u32, bytes: &[u8]) {
        if stream == STDERR {
            let room = STDERR_BYTES.saturating_sub(self.stderr.len());
            self.stderr.extend(bytes.iter().take(room));
        }
    }
}

/// Store data with a [`WasiState`] in it.
pub(crate) trait WasiHost: 'static {
    fn wasi(&mut self) -> &mut WasiState;
}

/// A handle; which one is its number.
type Handle = Resource<()>;
type Written = (Result<(), StreamError>,);

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Handle),
    #[component(name = "closed")]
    Closed,
}

/// Whether an import is of WASI 0.2 and may be there.
pub(crate) fn is_known(import: &str) -> bool {
    import.contains("@0.2.") && PACKAGES.iter().any(|package| import.starts_with(package))
}

/// Answers the WASI imports of `component`, whichever 0.2 release they are of.
pub(crate) fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, component: &Component) -> wasmtime::Result<()> {
    let ty = component.component_type();
    for (import, _) in ty.imports(component.engine()).filter(|(import, _)| is_known(import)) {
        let interface = import.split('@').next().unwrap_or_default();
        define(linker.instance(import)?, interface)?;
    }
    linker.define_unknown_imports_as_traps(component)
}

fn define<T: WasiHost>(mut linker: LinkerInstance<'_, T>, interface: &str) -> wasmtime::Result<()> {
    type Store<'a, T> = StoreContextMut<'a, T>;
    match interface {
        "wasi:cli/environment" => {
            linker.func_wrap("get-environment", |_: Store<'_, T>, ()| Ok((Vec::<(String, String)>::new(),)))?;
            linker.func_wrap("get-arguments", |_: Store<'_, T>, ()| Ok((Vec::<String>::new(),)))?;
            linker.func_wrap("initial-cwd", |_: Store<'_, T>, ()| Ok((None::<String>,)))
        }
        "wasi:cli/exit" => {
            linker.func_wrap("exit", |_: Store<'_, T>, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(Misuse("it called exit".to_owned()).into())
            })
        }
        "wasi:cli/stdout" => linker.func_wrap("get-stdout", |_: Store<'_, T>, ()| Ok((Handle::new_own(STDOUT),))),
        "wasi:cli/stderr" => linker.func_wrap("get-stderr", |_: Store<'_, T>, ()| Ok((Handle::new_own(STDERR),))),
        "wasi:cli/terminal-stdin" => linker.func_wrap("get-terminal-stdin", no_terminal),
        "wasi:cli/terminal-stdout" => linker.func_wrap("get-terminal-stdout", no_terminal),
        "wasi:cli/terminal-stderr" => linker.func_wrap("get-terminal-stderr", no_terminal),
        "wasi:io/streams" => define_output(linker),
        "wasi:io/poll" => {
            linker.func_wrap("[method]pollable.ready", |_: Store<'_, T>, (_,): (Handle,)| Ok((true,)))?;
            linker.func_wrap("[method]pollable.block", |_: Store<'_, T>, (_,): (Handle,)| Ok(()))?;
            linker.func_wrap("poll", all_ready)
        }
        "wasi:filesystem/preopens" => {
            linker.func_wrap("get-directories", |_: Store<'_, T>, ()| Ok((Vec::<(Handle, String)>::new(),)))
        }
        "wasi:random/insecure-seed" => {
            linker.func_wrap("insecure-seed", |mut store: Store<'_, T>, ()| Ok((store.data_mut().wasi().seed,)))
        }
        _ => Ok(()),
    }
}

fn no_terminal<T>(_: StoreContextMut<'_, T>, (): ()) -> wasmtime::Result<(Option<Handle>,)> {
    Ok((None,))
}

fn all_ready<T>(_: StoreContextMut<'_, T>, (waiting,): (Vec<Handle>,)) -> wasmtime::Result<(Vec<u32>,)> {
    Ok(((0_u32..).zip(&waiting).map(|(place, _)| place).collect(),))
}

fn define_output<T: WasiHost>(mut linker: LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    linker.func_wrap("[method]output-stream.check-write", |_: StoreContextMut<'_, T>, (_,): (Handle,)| {
        Ok((Ok::<u64, StreamError>(WRITE_BYTES),))
    })?;
    linker.func_wrap("[method]output-stream.write", write)?;
    linker.func_wrap("[method]output-stream.blocking-write-and-flush", write)?;
    linker.func_wrap("[method]output-stream.subscribe", |_: StoreContextMut<'_, T>, (stream,): (Handle,)| {
        Ok((Handle::new_own(stream.rep()),))
    })?;
    linker.func_wrap("[method]output-stream.flush", flush)?;
    linker.func_wrap("[method]output-stream.blocking-flush", flush)
}

fn write<T: WasiHost>(
    mut store: StoreContextMut<'_, T>,
    (stream, bytes): (Handle, Vec<u8>),
) -> wasmtime::Result<Written> {
    store.data_mut().wasi().write(stream.rep(), &bytes);
    Ok((Ok(()),))
}

fn flush<T>(_: StoreContextMut<'_, T>, (_,): (Handle,)) -> wasmtime::Result<Written> {
    Ok((Ok(()),))
}
