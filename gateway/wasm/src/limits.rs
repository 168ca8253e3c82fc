//! How much of the machine an instance gets.

use std::time::Duration;

use thiserror::Error;
use wasmtime::ResourceLimiter;

/// Core instances, memories and tables in one component. The toolchains make three or four instances, one memory and
/// two tables.
const INSTANCES: usize = 16;
const MEMORIES: usize = 4;
const TABLES: usize = 8;
/// A table element costs the host a word or two.
const TABLE_ELEMENTS: usize = 100_000;

/// What an instance may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one call of a hook, rounded up by at most two ticks of 4 ms.
    pub deadline: Duration,
    /// Bytes of linear memory, all memories of the instance together.
    pub memory: usize,
}

/// Counts an instance's memory. Refusals are errors, which end the call and name the reason; a guest that only saw its
/// allocation fail would abort with a trap that says nothing.
pub(crate) struct Meter {
    limit: usize,
    used: usize,
}

/// The guest asked for too much.
#[derive(Debug, Error)]
#[error("{wanted} bytes of memory or table elements are more than the plugin may have")]
pub(crate) struct MemoryDenied {
    pub(crate) wanted: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limit: limits.memory, used: 0 }
    }

    /// Bytes of all memories.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(MemoryDenied { wanted }.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(MemoryDenied { wanted: desired }.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
