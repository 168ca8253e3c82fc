//! Compiling, on one thread: compiling in parallel on the workers' cores was measured to hold up single requests by
//! milliseconds. Once the gateway serves, the thread has a lower priority than the workers. A version that takes too long
//! is given up: nothing can stop its thread, but another one goes on with the rest.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_wasm::Artifact;

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
    /// What is being compiled, and since when.
    current: Option<(Arc<str>, Source, Instant)>,
    /// Threads that were given up. The next one works.
    given_up: usize,
    closed: bool,
}

/// Makes a plugin of bytes, or says why not.
type Load = dyn Fn(&str, &[u8]) -> Result<Artifact, String> + Send + Sync;

/// The thread, stopped by dropping this.
pub(super) struct CompileThread {
    queue: Arc<Queue>,
    load: Arc<Load>,
    events: Sender<Event>,
}

/// A component with a language's runtime in it takes ten seconds on a busy machine.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

impl CompileThread {
    pub(super) fn start(
        load: impl Fn(&str, &[u8]) -> Result<Artifact, String> + Send + Sync + 'static,
        events: Sender<Event>,
    ) -> std::io::Result<Self> {
        let this = Self { queue: Arc::default(), load: Arc::new(load), events };
        this.spawn(0)?;
        Ok(this)
    }

    fn spawn(&self, number: usize) -> std::io::Result<()> {
        let (queue, load, events) = (Arc::clone(&self.queue), Arc::clone(&self.load), self.events.clone());
        let work = move || queue.work(number, &*load, &events);
        std::thread::Builder::new().name("sluice-compile".to_owned()).spawn(work).map(drop)
    }

    /// Gives up what takes too long by now; answers what that was.
    pub(super) fn give_up(&self, now: Instant) -> Option<(Arc<str>, Source)> {
        let mut waiting = self.queue.lock();
        let late = waiting.current.take_if(|(_, _, since)| now.saturating_duration_since(*since) >= LONGEST);
        let (name, source, _) = late?;
        waiting.given_up += 1;
        let number = waiting.given_up;
        drop(waiting);
        if let Err(error) = self.spawn(number) {
            tracing::error!(%error, "no thread to compile plugins on");
        }
        Some((name, source))
    }

    /// Has a version compiled; one of the same plugin that still waits is skipped. Answers false in that case: no more
    /// versions wait than before.
    pub(super) fn submit(&self, urgency: Urgency, name: Arc<str>, version: Version) -> bool {
        let mut waiting = self.queue.lock();
        let key = (urgency, name, version.source == Source::BuiltIn);
        let skipped = waiting.jobs.insert(key, version);
        self.queue.changed.notify_one();
        skipped.is_none()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until it is given up or nothing more will come.
    fn work(&self, number: usize, load: &Load, events: &Sender<Event>) {
        // What there is at the start is waited for, so it is compiled as quickly as possible.
        let mut started = false;
        while let Some((name, Version { source, signed, bytes })) = self.next(number) {
            let begun = Instant::now();
            let artifact = catch_unwind(AssertUnwindSafe(|| load(&name, &bytes)))
                .unwrap_or_else(|_| Err("the compiler failed at it; the log of the gateway has more".to_owned()));
            if !self.done(number) {
                return;
            }
            let compiled = Compiled { name, source, signed, artifact, took: begun.elapsed() };
            if !started && self.lock().jobs.is_empty() {
                started = true;
                lower_priority();
            }
            if events.send(Event::Compiled(Box::new(compiled))).is_err() {
                return;
            }
        }
    }

    fn next(&self, number: usize) -> Option<(Arc<str>, Version)> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed || waiting.given_up > number {
                return None;
            }
            if let Some(((_, name, _), version)) = waiting.jobs.pop_first() {
                waiting.current = Some((Arc::clone(&name), version.source.clone(), Instant::now()));
                return Some((name, version));
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether somebody still waits for what a thread has done.
    fn done(&self, number: usize) -> bool {
        let mut waiting = self.lock();
        let is_wanted = waiting.given_up == number;
        if is_wanted {
            waiting.current = None;
        }
        is_wanted
    }
}

impl Drop for CompileThread {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_takes_too_long_is_given_up_and_the_rest_goes_on() {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let (events, received) = channel();
        let load = move |name: &str, _: &[u8]| {
            match name {
                "slow" => drop(released.lock().unwrap().recv()),
                "broken" => panic!("a fault of the compiler"),
                _ => {}
            }
            Err(format!("{name} is no plugin"))
        };
        let thread = CompileThread::start(load, events).unwrap();
        let submit = |name: &str| {
            let version = Version { source: Source::BuiltIn, signed: None, bytes: Vec::new() };
            assert!(thread.submit(Urgency::Wanted, name.into(), version));
        };
        let next = || match received.recv().unwrap() {
            Event::Compiled(compiled) => format!("{}: {}", compiled.name, compiled.artifact.unwrap_err()),
            _ => panic!("not of the compiler"),
        };
        submit("broken");
        assert!(next().starts_with("broken: the compiler failed at it"));
        submit("slow");
        while thread.queue.lock().current.is_none() {
            std::thread::yield_now();
        }
        assert!(thread.give_up(Instant::now()).is_none(), "it has just begun");
        let (name, _) = thread.give_up(Instant::now() + LONGEST).unwrap();
        assert_eq!(&*name, "slow");
        submit("quick");
        assert_eq!(next(), "quick: quick is no plugin");
        release.send(()).unwrap();
        submit("last");
        assert_eq!(next(), "last: last is no plugin", "nobody hears of what was given up");
    }
}
