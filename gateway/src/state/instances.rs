//! What is known of each instance, whoever routes to it.
//!
//! Takes an address, gives shared state: requests in flight, failures, the last error. All generations and workers that
//! use an instance share one state; it goes when the last of them lets go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use sluice_model::{Scheme, Target};

/// What makes an instance the same one, over all services and providers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// An IP address or a host name.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The name of the transport, which may show it another certificate or believe other ones.
    pub transport: Option<Arc<str>>,
}

/// Every instance that somebody uses.
#[derive(Debug, Default)]
pub struct Instances {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    next_id: u32,
    states: HashMap<InstanceKey, Weak<InstanceState>>,
    /// When this many entries are there it is time to look for dead ones.
    sweep_at: usize,
}

/// One instance.
#[derive(Debug)]
pub struct InstanceState {
    /// Small, and never given to another instance: whatever a worker keeps under it, such as connections, cannot end up
    /// with the wrong one.
    pub id: u32,
    /// Which one it is.
    pub key: InstanceKey,
    /// Its `address:port`.
    pub authority: Box<str>,
    in_flight: AtomicU32,
    failures: AtomicU64,
    last_error: ArcSwapOption<LastError>,
}

/// The last thing that went wrong with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// In words.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// A request on its way to an instance; it ends when this is dropped.
#[derive(Debug)]
pub struct InFlight {
    instance: Arc<InstanceState>,
}

impl InstanceKey {
    /// The instance a target is, as it is spoken to over a transport. Host names mean the same in any letter case.
    #[must_use]
    pub fn new(target: &Target, transport: Option<&str>) -> Self {
        let address = target.address.to_ascii_lowercase();
        Self { scheme: target.scheme, address, port: target.port, transport: transport.map(Arc::from) }
    }

    /// `scheme://address:port`, for people.
    #[must_use]
    pub fn url(&self) -> String {
        self.scheme.url(&self.address, self.port)
    }
}

impl Instances {
    /// The state of an instance, old or new. Whoever keeps it keeps it alive.
    pub fn get(&self, key: InstanceKey) -> Arc<InstanceState> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.states.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(InstanceState::new(known.next_id, key.clone()));
        known.next_id = known.next_id.wrapping_add(1);
        known.states.insert(key, Arc::downgrade(&state));
        known.sweep_if_due();
        state
    }

    /// Every instance in use, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<InstanceState>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states: Vec<_> = known.states.values().filter_map(Weak::upgrade).collect();
        states.sort_by_key(|state| state.id);
        states
    }

    /// Forgets instances that nobody uses. Their state is gone already; this frees their names.
    pub fn sweep(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).sweep();
    }
}

impl Known {
    /// Sweeping only when the number has doubled makes it cost a constant for each new instance.
    fn sweep_if_due(&mut self) {
        if self.states.len() >= self.sweep_at {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        self.states.retain(|_, state| state.strong_count() > 0);
        self.sweep_at = (self.states.len() * 2).max(64);
    }
}

impl InstanceState {
    fn new(id: u32, key: InstanceKey) -> Self {
        let address = if key.address.contains(':') { format!("[{}]", key.address) } else { key.address.clone() };
        let authority = format!("{address}:{}", key.port).into();
        Self {
            id,
            key,
            authority,
            in_flight: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
        }
    }

    /// Counts a request until what it returns is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { instance: Arc::clone(self) }
    }

    /// Requests on their way at this moment.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Notes that a request failed for a reason of the instance's.
    pub fn failed(&self, message: impl Into<String>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(Some(Arc::new(LastError { message: message.into(), at: SystemTime::now() })));
    }

    /// How often that happened.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What happened last.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<LastError>> {
        self.last_error.load_full()
    }
}

impl InFlight {
    /// Where the request goes.
    #[must_use]
    pub fn instance(&self) -> &Arc<InstanceState> {
        &self.instance
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.instance.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> InstanceKey {
        InstanceKey { scheme: Scheme::Http, address: "10.0.0.1".into(), port, transport: None }
    }

    #[test]
    fn users_of_one_address_share_its_state() {
        let instances = Instances::default();
        let (one, same) = (instances.get(key(1)), instances.get(key(1)));
        assert!(Arc::ptr_eq(&one, &same));
        let tls = instances.get(InstanceKey { scheme: Scheme::Https, ..key(1) });
        assert_ne!(one.id, tls.id);

        let first = one.begin();
        let second = same.begin();
        assert_eq!(one.in_flight(), 2);
        drop(first);
        assert_eq!(second.instance().in_flight(), 1);
        same.failed("connection refused");
        assert_eq!(one.failures(), 1);
        assert_eq!(one.last_error().map(|error| error.message.clone()), Some("connection refused".into()));
    }

    #[test]
    fn a_request_in_flight_keeps_the_state_and_an_id_is_never_used_again() {
        let instances = Instances::default();
        let state = instances.get(key(1));
        let id = state.id;
        let request = state.begin();
        drop(state);
        assert_eq!(instances.get(key(1)).id, id);
        drop(request);
        assert_ne!(instances.get(key(1)).id, id, "nobody used it, so it is a new one");
    }

    #[test]
    fn names_of_dead_instances_do_not_pile_up() {
        let instances = Instances::default();
        let kept = instances.get(key(0));
        for port in 1..=10_000 {
            let _unused = instances.get(key(port));
        }
        let names = instances.known.lock().map_or(0, |known| known.states.len());
        assert!(names <= 128, "{names} names for one instance");
        assert_eq!(instances.all().len(), 1);
        assert_eq!(kept.id, 0);
    }
}
