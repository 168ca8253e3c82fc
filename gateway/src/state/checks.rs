//! What health checks have found out, one for each instance and way of asking, whoever uses it.
//!
//! Takes an instance and a check, gives shared state; what is new is announced to whoever does the asking. State is kept
//! while a generation uses it, so that an instance which is down stays down when something else changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use sluice_model::service::HealthCheck;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::clock::Clock;
use super::instances::{InstanceKey, LastError};

/// What makes two checks the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckKey {
    /// Who is asked.
    pub instance: InstanceKey,
    /// What.
    pub check: HealthCheck,
}

/// Every check that somebody uses.
pub struct Checks {
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<CheckKey, Weak<CheckState>>>,
    announce: UnboundedSender<Arc<CheckState>>,
}

/// One check.
pub struct CheckState {
    /// Which one it is.
    pub key: CheckKey,
    clock: Arc<dyn Clock>,
    up: AtomicBool,
    /// When it came up after having been down; 0 is never.
    came_up: AtomicU64,
    /// When an answer was last good; 0 is never.
    passed: AtomicU64,
    passes: AtomicU64,
    failures: AtomicU64,
    last_error: ArcSwapOption<LastError>,
}

impl Checks {
    /// Knows no check yet. What is new comes out of the receiver; whoever takes it keeps it no longer than it takes to
    /// ask.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> (Self, UnboundedReceiver<Arc<CheckState>>) {
        let (announce, announced) = unbounded_channel();
        (Self { clock, known: Mutex::default(), announce }, announced)
    }

    /// The state of a check, old or new. Whoever keeps it keeps it alive.
    pub fn get(&self, key: CheckKey) -> Arc<CheckState> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(CheckState::new(key.clone(), Arc::clone(&self.clock)));
        known.insert(key, Arc::downgrade(&state));
        // Nobody asks in a dry run.
        self.announce.send(Arc::clone(&state)).ok();
        state
    }

    /// Every check in use.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<CheckState>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets checks that nobody uses.
    pub fn sweep(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, state| state.strong_count() > 0);
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CheckState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckState").field("key", &self.key).field("up", &self.is_up()).finish_non_exhaustive()
    }
}

impl CheckState {
    fn new(key: CheckKey, clock: Arc<dyn Clock>) -> Self {
        Self {
            key,
            clock,
            up: AtomicBool::new(true),
            came_up: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            passes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
        }
    }

    /// Whether the instance may take requests. One that has not been asked yet may.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// When it came up after having been down, on the clock; 0 is never.
    #[must_use]
    pub fn came_up(&self) -> u64 {
        self.came_up.load(Ordering::Relaxed)
    }

    /// When an answer was last good, on the clock; 0 is never.
    #[must_use]
    pub fn passed_at(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Good and bad answers so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.passes.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// Why the last bad answer was bad.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<LastError>> {
        self.last_error.load_full()
    }

    /// Notes an answer. Whether it changes anything is the asker's to say, by [`set_up`](Self::set_up).
    pub fn note(&self, answer: &Result<(), String>) {
        match answer {
            Ok(()) => {
                self.passes.fetch_add(1, Ordering::Relaxed);
                self.passed.store(self.clock.now_ns().max(1), Ordering::Relaxed);
            }
            Err(message) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let error = LastError { message: message.clone(), at: SystemTime::now() };
                self.last_error.store(Some(Arc::new(error)));
            }
        }
    }

    /// The instance may take requests from now on, or may not.
    pub fn set_up(&self, up: bool) {
        if !self.up.swap(up, Ordering::Relaxed) && up {
            self.came_up.store(self.clock.now_ns().max(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluice_model::Scheme;
    use sluice_model::service::CheckProtocol;

    use super::*;
    use crate::state::SystemClock;

    fn key(port: u16) -> CheckKey {
        let check = HealthCheck {
            protocol: CheckProtocol::Tcp,
            path: String::new(),
            method: String::new(),
            status: None,
            headers: vec![],
            host: String::new(),
            follow_redirects: false,
            send: String::new(),
            expect: String::new(),
            scheme: None,
            port: None,
            interval: Duration::from_secs(1),
            unhealthy_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            at_once: true,
            passes: 1,
            failures: 1,
        };
        let instance = InstanceKey { scheme: Scheme::Http, address: "10.0.0.1".into(), port, transport: None };
        CheckKey { instance, check }
    }

    #[test]
    fn one_check_is_announced_once_and_forgotten_with_its_last_user() {
        let (checks, mut announced) = Checks::new(Arc::new(SystemClock::default()));
        let (one, same, other) = (checks.get(key(1)), checks.get(key(1)), checks.get(key(2)));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!((announced.try_recv().is_ok(), announced.try_recv().is_ok()), (true, true));
        assert!(announced.try_recv().is_err());
        one.set_up(false);
        assert!(!checks.get(key(1)).is_up(), "it is still down for the next generation");
        drop((one, same));
        checks.sweep();
        assert_eq!(checks.all().len(), 1);
        assert!(checks.get(key(1)).is_up());
    }

    #[test]
    fn coming_up_is_remembered_only_after_having_been_down() {
        let (checks, _announced) = Checks::new(Arc::new(SystemClock::default()));
        let check = checks.get(key(1));
        check.set_up(true);
        assert_eq!(check.came_up(), 0);
        check.set_up(false);
        check.set_up(true);
        assert!(check.came_up() > 0);
        check.note(&Err("refused".into()));
        check.note(&Ok(()));
        assert_eq!(check.counts(), (1, 1));
        assert_eq!(check.last_error().map(|error| error.message.clone()), Some("refused".into()));
    }
}
