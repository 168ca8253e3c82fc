//! What can go wrong: setting up the engine, loading a plugin, calling one.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::limits::{Limits, MemoryDenied};

/// The engine could not be set up.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The directory for compiled plugins is unusable.
    #[error("use {directory} for compiled plugins: {reason}; give a directory this process can write to")]
    Cache {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// This machine cannot run compiled plugins.
    #[error("set up the Wasm engine: {0}")]
    Engine(String),
    /// No thread for the clock.
    #[error("start the thread that measures plugin deadlines")]
    Ticker(#[source] std::io::Error),
}

/// A file is not a plugin this gateway can run.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Too large to be looked at.
    #[error("plugin `{name}` has {size} bytes; at most {limit} are accepted")]
    TooLarge {
        /// The plugin.
        name: String,
        /// Of the file.
        size: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// No Wasm at all.
    #[error("plugin `{name}` is not WebAssembly: it does not start with the bytes `\\0asm`")]
    NotWasm {
        /// The plugin.
        name: String,
    },
    /// A core module that cannot become a component.
    #[error("plugin `{name}` is a core module and cannot be made a component: {reason}")]
    CoreModule {
        /// The plugin.
        name: String,
        /// What is missing and how to mend it.
        reason: String,
    },
    /// The component is damaged, or uses what the engine does not know.
    #[error("compile plugin `{name}`: {reason}")]
    Invalid {
        /// The plugin.
        name: String,
        /// What the compiler said.
        reason: String,
    },
    /// It exports neither world.
    #[error(
        "plugin `{name}` is neither a router nor a policy: it exports {exports}; \
         a plugin exports `sluice:gateway/router-plugin` or `sluice:gateway/policy-plugin`"
    )]
    UnknownWorld {
        /// The plugin.
        name: String,
        /// What it exports.
        exports: String,
    },
    /// It exports both worlds.
    #[error("plugin `{name}` is a router and a policy at once; build two plugins")]
    TwoWorlds {
        /// The plugin.
        name: String,
    },
    /// Built against another version of the contract.
    #[error("plugin `{name}` was built for {theirs}; this gateway speaks {ours}: build it with the plugin SDK {ours}")]
    Version {
        /// The plugin.
        name: String,
        /// The interface as the plugin names it.
        theirs: String,
        /// The version of this gateway's contract.
        ours: String,
    },
    /// It needs what no plugin gets.
    #[error("plugin `{name}` imports what this gateway does not offer: {}", .imports.join(", "))]
    UnknownImports {
        /// The plugin.
        name: String,
        /// By name, with versions.
        imports: Vec<String>,
    },
    /// Its imports or exports are of the right names and the wrong types.
    #[error("link plugin `{name}`: {reason}")]
    Link {
        /// The plugin.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

/// A call into a plugin failed. The instance is spent: its owner makes a new one.
#[derive(Debug, Error)]
pub enum CallError {
    /// The plugin trapped: a panic, a division by zero, an access out of bounds.
    #[error("the plugin trapped: {reason}")]
    Trap {
        /// The trap, and what the plugin wrote to its standard error before.
        reason: String,
        /// Where.
        place: Place,
    },
    /// It did not return in time.
    #[error("the plugin was stopped after {0:?}")]
    Deadline(Duration),
    /// It wanted more memory than it may have.
    #[error("the plugin wanted {wanted} bytes of memory and may have {limit}")]
    Memory {
        /// All it would have had.
        wanted: usize,
        /// What it may have.
        limit: usize,
    },
    /// It recursed too deeply.
    #[error("the plugin used up its stack")]
    Stack {
        /// Where.
        place: Place,
    },
    /// It broke a rule of the contract, or the contract with the host could not be kept.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// The instance had failed before.
    #[error("the plugin's instance is spent after an earlier failure")]
    Spent,
}

/// Where a plugin was when it trapped. [`CallError::backtrace`] makes text of it, which is not done for every trap.
#[derive(Debug)]
pub struct Place(wasmtime::Error);

/// An error a host function answers a guest's mistake with. It ends the call.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

impl CallError {
    /// A short constant name, for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline(_) => "timeout",
            Self::Memory { .. } => "oom",
            Self::Stack { .. } => "stack",
            Self::Contract(_) => "contract",
            Self::Spent => "spent",
        }
    }

    /// Where the plugin was, as text for a log, where that is known.
    #[must_use]
    pub fn backtrace(&self) -> Option<String> {
        match self {
            Self::Trap { place, .. } | Self::Stack { place } => {
                place.0.downcast_ref::<WasmBacktrace>().map(ToString::to_string)
            }
            _ => None,
        }
    }

    /// Says what the engine's error means. `stderr` is what the guest wrote there during the call.
    pub(crate) fn from_engine(error: wasmtime::Error, deadline: Duration, limits: Limits, stderr: &[u8]) -> Self {
        if let Some(denied) = error.downcast_ref::<MemoryDenied>() {
            return Self::Memory { wanted: denied.wanted, limit: limits.memory };
        }
        if error.downcast_ref::<I32Exit>().is_some() {
            return Self::Contract("it called exit".to_owned());
        }
        match error.downcast_ref::<Trap>().copied() {
            Some(Trap::Interrupt) => Self::Deadline(deadline),
            Some(Trap::StackOverflow) => Self::Stack { place: Place(error) },
            Some(trap) => Self::Trap { reason: describe(trap, stderr), place: Place(error) },
            None => Self::Contract(error.root_cause().to_string()),
        }
    }
}

fn describe(trap: Trap, stderr: &[u8]) -> String {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim();
    if said.is_empty() { trap.to_string() } else { format!("{trap}: {said}") }
}
