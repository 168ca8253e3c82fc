//! Standard error: the beginning of what a guest writes in one call, for the message of a trap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi_io::bytes::Bytes;

/// What is kept; the rest is swallowed, because a guest that cannot write its message would die of that instead.
const KEPT_BYTES: usize = 4 * 1024;
/// What a guest may write at once.
const WRITE_BYTES: usize = 4 * 1024;

/// A place to write to. Clones are the same place.
#[derive(Clone, Default)]
pub(super) struct Stderr(Arc<Written>);

#[derive(Default)]
struct Written {
    text: Mutex<Vec<u8>>,
    /// Saves the lock in the calls that write nothing, which is nearly all of them.
    any: AtomicBool,
}

impl Stderr {
    pub(super) fn clear(&self) {
        if self.0.any.load(Ordering::Relaxed) {
            self.take();
        }
    }

    pub(super) fn take(&self) -> Vec<u8> {
        self.0.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.text())
    }

    fn text(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.any.store(true, Ordering::Relaxed);
        let mut text = self.text();
        let room = KEPT_BYTES.saturating_sub(text.len());
        text.extend(bytes.iter().take(room));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// For WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}
