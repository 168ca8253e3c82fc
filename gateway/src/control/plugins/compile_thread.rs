//! Compiling, on one thread: compiling in parallel on the workers' cores was measured to hold up single requests by
//! milliseconds. Once the gateway serves, the thread has a lower priority than the workers.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use sluice_wasm::{Artifact, Engine};

use super::super::{Compiled, Event};
use super::{Signed, Source};

/// Whether somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    Wanted,
    /// It is compiled for the case that somebody will.
    Spare,
}

type Job = (Urgency, Arc<str>, bool);

/// What is to be compiled.
pub(super) struct Version {
    pub(super) source: Source,
    pub(super) signed: Option<Signed>,
    pub(super) bytes: Vec<u8>,
}

/// Where bytes wait to be compiled: at most one version of each plugin, the newest.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// What nobody waits for comes last. Then by name, and whether it is the built-in version: that one is needed even
    /// where a file takes its place, because it is what is fallen back to.
    jobs: BTreeMap<Job, Version>,
    closed: bool,
}

/// The thread, stopped by dropping this.
pub(super) struct CompileThread {
    queue: Arc<Queue>,
}

impl CompileThread {
    pub(super) fn start(engine: Engine, events: Sender<Event>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new().name("sluice-compile".to_owned()).spawn(move || {
            // What there is at the start is waited for, so it is compiled as quickly as possible.
            let mut started = false;
            while let Some((name, Version { source, signed, bytes })) = theirs.next() {
                let begun = Instant::now();
                let artifact = Artifact::load(&engine, &name, &bytes);
                let compiled = Compiled { name, source, signed, artifact, took: begun.elapsed() };
                if !started && theirs.is_empty() {
                    started = true;
                    lower_priority();
                }
                if events.send(Event::Compiled(Box::new(compiled))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { queue })
    }

    /// Has a version compiled; one of the same plugin that still waits is skipped. Answers false in that case: no more
    /// versions wait than before.
    pub(super) fn submit(&self, urgency: Urgency, name: Arc<str>, version: Version) -> bool {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (urgency, name, version.source == Source::BuiltIn);
        let skipped = waiting.jobs.insert(key, version);
        self.queue.changed.notify_one();
        skipped.is_none()
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).jobs.is_empty()
    }

    fn next(&self) -> Option<(Arc<str>, Version)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(((_, name, _), version)) = waiting.jobs.pop_first() {
                return Some((name, version));
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for CompileThread {
    fn drop(&mut self) {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.queue.changed.notify_one();
    }
}

/// Low enough that workers come first, high enough that a plugin is not put off for ever on a machine that is busy: at 19
/// a swap took up to 13 s there.
const NICE: i32 = 5;

/// On Linux a process id that is a thread's concerns that thread alone.
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "the compile thread keeps its normal priority");
    }
}
