//! The compiler and the clock that stops runaway plugins.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config};

use crate::error::EngineError;

/// The grain of deadlines. A shorter one costs: a thousand wake-ups a second were measured at three hundredths of a core.
const TICK: Duration = Duration::from_millis(4);

/// Compiles plugins for synchronous calls. Clones share everything; the clock stops with the last one.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    ticker: Arc<Ticker>,
}

impl Engine {
    /// An engine that keeps compiled plugins in `cache`, where one is given: a directory for this purpose alone, made
    /// private to this user. What is in it is run as native code.
    ///
    /// # Errors
    /// The directory cannot be used, or the machine cannot run compiled plugins.
    pub fn new(cache: Option<&Path>) -> Result<Self, EngineError> {
        let mut config = Config::new();
        // Without it a call costs a third, and nothing here suspends.
        config.concurrency_support(false);
        config.epoch_interruption(true);
        config.memory_init_cow(true);
        // The caller compiles on a thread of low priority; others would compete with the workers.
        config.parallel_compilation(false);
        // The register allocator stays as it is: the single-pass one compiles twice as fast, and wasmtime issues no
        // security advisories for it.
        config.cache(cache.map(open_cache).transpose()?);
        let inner = wasmtime::Engine::new(&config).map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(inner.clone()).map_err(EngineError::Ticker)?;
        Ok(Self { inner, ticker: Arc::new(ticker) })
    }

    /// A call is about to begin: the clock has to run until its deadline, which is this many ticks away.
    pub(crate) fn tick_for(&self, ticks: u64) {
        self.ticker.tick_for(ticks);
    }

    pub(crate) fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

/// How many ticks make a deadline. One more than its length, because the first may be about to end.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let whole = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole).unwrap_or(u64::MAX / 2).saturating_add(1)
}

fn open_cache(directory: &Path) -> Result<Cache, EngineError> {
    let fail = |reason: String| EngineError::Cache { directory: directory.to_path_buf(), reason };
    let absolute: PathBuf = std::path::absolute(directory).map_err(|error| fail(error.to_string()))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&absolute).map_err(|error| fail(error.to_string()))?;
    let mode = absolute.metadata().map_err(|error| fail(error.to_string()))?.mode();
    if mode & 0o002 != 0 {
        return Err(fail("every user may write into it, and what is in it is run".to_owned()));
    }
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|error| fail(format!("{error:#}")))
}

/// The thread that moves the engine's epoch. A thread, not a task: it has to move while workers are stuck in plugins. It
/// rests while no call can be running.
struct Ticker {
    clock: Arc<Clock>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Clock {
    stop: AtomicBool,
    /// Ticks so far.
    now: AtomicU64,
    /// The tick by which every call is over or has been stopped.
    busy_until: AtomicU64,
    resting: AtomicBool,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let clock = Arc::new(Clock::default());
        let theirs = Arc::clone(&clock);
        let thread = thread::Builder::new().name("sluice-epoch".to_owned()).spawn(move || theirs.run(&engine))?;
        Ok(Self { clock, thread: Some(thread) })
    }

    fn tick_for(&self, ticks: u64) {
        let until = self.clock.now.load(Ordering::Relaxed).saturating_add(ticks);
        // Under load another call has said so already, and a word that is only read is shared by all workers.
        if self.clock.busy_until.load(Ordering::SeqCst) < until {
            self.clock.busy_until.fetch_max(until, Ordering::SeqCst);
        }
        if self.clock.resting.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Clock {
    fn run(&self, engine: &wasmtime::Engine) {
        while !self.stop.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            self.now.fetch_add(1, Ordering::Relaxed);
            self.resting.store(true, Ordering::SeqCst);
            // Looked at after saying so: a call that begins now either is seen here or sees that it has to wake us.
            while self.is_quiet() && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.resting.store(false, Ordering::SeqCst);
        }
    }

    fn is_quiet(&self) -> bool {
        self.now.load(Ordering::Relaxed) > self.busy_until.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic, and if it did there is nothing left to tick for.
            let _ = thread.join();
        }
    }
}
