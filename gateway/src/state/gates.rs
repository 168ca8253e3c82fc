//! How many exchanges are under way at once, by key.
//!
//! Entering is one look-up and one compare-and-swap. A place is given back by dropping its lease, so nothing that becomes
//! of an exchange can keep it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sluice_wasm::{Entered, GateLease, GateSpec};

use super::adaptive::AdaptiveLimit;
use super::buckets::MAX_KEYS;
use super::clock::Clock;
use super::keyed::{Kept, Keyed};

/// A set of gates.
pub(super) struct Gates {
    spec: ArcSwap<GateSpec>,
    /// The limit of every key where it is not adaptive.
    limit: AtomicU32,
    gates: Keyed<Gate>,
}

/// One key's gate.
struct Gate {
    inside: AtomicU32,
    /// What `adaptive` came to; nobody waits for its lock to enter.
    limit: AtomicU32,
    adaptive: Mutex<Option<AdaptiveLimit>>,
}

/// A place inside.
struct Lease {
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    entered_ns: u64,
    inside: u32,
}

impl Kept for Gate {
    fn is_busy(&self) -> bool {
        self.inside.load(Ordering::Acquire) > 0
    }
}

impl Gates {
    pub(super) fn new(spec: GateSpec) -> Self {
        Self { limit: AtomicU32::new(spec.limit), spec: ArcSwap::from_pointee(spec), gates: Keyed::new(MAX_KEYS) }
    }

    pub(super) fn enter(&self, key: &str, priority: u8, clock: &Arc<dyn Clock>) -> Entered {
        let spec = self.spec.load();
        let gate = self.gates.get_or(key, || Gate::new(&spec, clock.now_ns()));
        let limit = match spec.adaptive {
            Some(_) => gate.limit.load(Ordering::Acquire),
            None => self.limit.load(Ordering::Acquire),
        };
        let room = room(&spec.shares, priority, limit);
        let step = |inside: u32| (inside < room).then_some(inside + 1);
        match gate.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(before) => {
                let inside = before + 1;
                let lease = Lease { gate, clock: Arc::clone(clock), entered_ns: clock.now_ns(), inside };
                Entered { lease: Some(Box::new(lease)), in_flight: inside, limit }
            }
            Err(inside) => Entered { lease: None, in_flight: inside, limit },
        }
    }

    /// Changes the limit of every key, where it is not adaptive.
    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Release);
    }

    /// Another spec. Whoever is inside stays counted, and what adaptive limits have learnt stays learnt.
    pub(super) fn respec(&self, spec: &GateSpec) {
        let old = self.spec.load_full();
        if *old == *spec {
            return;
        }
        self.limit.store(spec.limit, Ordering::Release);
        for (_, gate) in self.gates.entries() {
            gate.respec(spec);
        }
        self.spec.store(Arc::new(spec.clone()));
    }

    pub(super) fn keys(&self) -> usize {
        self.gates.len()
    }

    /// The most that are inside of one of them, and all together.
    pub(super) fn inside(&self) -> (u32, u64) {
        let each = self.gates.entries();
        let each = each.iter().map(|(_, gate)| gate.inside.load(Ordering::Acquire));
        each.fold((0, 0), |(most, all), inside| (most.max(inside), all + u64::from(inside)))
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        self.gates.set_capacity(max_keys);
    }

    /// Forgets gates that nobody is inside of and that have learnt nothing.
    pub(super) fn sweep(&self) {
        let learns = self.spec.load().adaptive.is_some();
        self.gates.retain(|gate| learns || gate.is_busy());
    }
}

/// What of a limit a priority may fill.
fn room(shares: &[u16], priority: u8, limit: u32) -> u32 {
    let Some(share) = shares.get(usize::from(priority)).or(shares.last()) else { return limit };
    let room = u64::from(limit) * u64::from((*share).min(1000)) / 1000;
    u32::try_from(room).unwrap_or(limit)
}

impl Gate {
    fn new(spec: &GateSpec, now_ns: u64) -> Self {
        let adaptive = spec.adaptive.map(|adaptive| AdaptiveLimit::new(adaptive, spec.limit, now_ns));
        let limit = adaptive.as_ref().map_or(spec.limit, AdaptiveLimit::limit);
        Self { inside: AtomicU32::new(0), limit: AtomicU32::new(limit), adaptive: Mutex::new(adaptive) }
    }

    fn respec(&self, spec: &GateSpec) {
        let mut slot = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = spec.adaptive.map(|adaptive| match slot.take() {
            Some(mut known) => {
                known.respec(adaptive);
                known
            }
            None => AdaptiveLimit::new(adaptive, spec.limit, 0),
        });
        self.limit.store(slot.as_ref().map_or(spec.limit, AdaptiveLimit::limit), Ordering::Release);
    }

    fn learn(&self, latency_ns: u64, inside: u32, overloaded: bool, now_ns: u64) {
        let mut slot = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = slot.as_mut().and_then(|slot| slot.sample(latency_ns, inside, overloaded, now_ns)) {
            self.limit.store(limit, Ordering::Release);
        }
    }
}

impl GateLease for Lease {
    fn finish(self: Box<Self>, overloaded: bool) {
        let now = self.clock.now_ns();
        self.gate.learn(now.saturating_sub(self.entered_ns), self.inside, overloaded, now);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_wasm::{Adaptive, AdaptiveKind};

    use super::super::clock::SystemClock;
    use super::*;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock::default())
    }

    fn fixed(limit: u32) -> GateSpec {
        GateSpec { limit, adaptive: None, shares: Vec::new() }
    }

    #[test]
    fn a_place_is_given_back_however_it_ends() {
        let (gates, clock) = (Gates::new(fixed(2)), clock());
        let (first, second) = (gates.enter("a", 0, &clock), gates.enter("a", 0, &clock));
        assert_eq!((second.in_flight, second.limit), (2, 2));
        assert!(gates.enter("a", 0, &clock).lease.is_none());
        assert!(gates.enter("b", 0, &clock).lease.is_some(), "each key has its own");
        drop(first);
        second.lease.unwrap().finish(false);
        assert_eq!(gates.inside(), (0, 0));
        gates.sweep();
        assert_eq!(gates.keys(), 0);
    }

    #[test]
    fn lower_priorities_are_kept_out_first() {
        let (gates, clock) = (Gates::new(GateSpec { shares: vec![1000, 500], ..fixed(4) }), clock());
        let _inside: Vec<_> = (0..2).map(|_| gates.enter("a", 1, &clock)).collect();
        assert!(gates.enter("a", 1, &clock).lease.is_none());
        assert!(gates.enter("a", 9, &clock).lease.is_none(), "beyond the list it is the last one's");
        assert!(gates.enter("a", 0, &clock).lease.is_some());
    }

    #[test]
    fn other_limits_count_who_is_inside() {
        let (gates, clock) = (Gates::new(fixed(3)), clock());
        let inside: Vec<_> = (0..3).map(|_| gates.enter("a", 0, &clock)).collect();
        gates.respec(&fixed(1));
        drop(inside.into_iter().next());
        assert!(gates.enter("a", 0, &clock).lease.is_some(), "all three are gone");
        gates.set_limit(0);
        assert!(gates.enter("a", 0, &clock).lease.is_none());
        let adaptive = Adaptive { kind: AdaptiveKind::Aimd, min: 1, max: 5 };
        gates.respec(&GateSpec { adaptive: Some(adaptive), ..fixed(9) });
        assert_eq!(gates.enter("a", 0, &clock).limit, 5);
    }

    #[test]
    fn whoever_is_inside_is_not_forgotten_for_others() {
        let (gates, clock) = (Gates::new(fixed(1)), clock());
        gates.set_capacity(64);
        let _inside = gates.enter("a", 0, &clock);
        for key in 0..10_000 {
            drop(gates.enter(&key.to_string(), 0, &clock));
        }
        assert!(gates.keys() < 1_000, "{} keys", gates.keys());
        assert!(gates.enter("a", 0, &clock).lease.is_none());
    }

    #[test]
    fn threads_are_never_more_than_the_limit() {
        let (gates, clock) = (Gates::new(fixed(3)), clock());
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let entered = gates.enter("a", 0, &clock);
                        if entered.lease.is_some() {
                            most.fetch_max(entered.in_flight, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(Ordering::Relaxed)));
        assert_eq!(gates.inside(), (0, 0));
    }
}
