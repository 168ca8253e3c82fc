//! Rolling windows by the letter of `wit/host.wit`: every observation is kept and looked at again.

use std::collections::BTreeMap;

use crate::bindings::policy::sluice::gateway::policy_types::Failure;
use crate::bindings::policy::sluice::gateway::state::{Totals, WindowSpec};

/// How long latencies are kept, and in what steps they go.
const LATENCY_SLOTS: u64 = 6;
const LATENCY_SLOT_NS: u64 = 10_000_000_000;

/// The windows opened under one name.
pub(super) struct WindowSet {
    pub(super) spec: WindowSpec,
    seen: BTreeMap<String, Vec<Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    at_ns: u64,
    code: u16,
    failed: bool,
    latency_ns: u64,
}

impl WindowSet {
    pub(super) fn new(spec: WindowSpec) -> Self {
        Self { spec, seen: BTreeMap::new() }
    }

    pub(super) fn observe(&mut self, key: &str, code: u16, failure: Option<Failure>, latency_ns: u64, now_ns: u64) {
        let seen = Seen { at_ns: now_ns, code, failed: failure.is_some(), latency_ns };
        self.seen.entry(key.to_owned()).or_default().push(seen);
    }

    pub(super) fn totals(&self, key: &str, now_ns: u64) -> Totals {
        let count = |test: &dyn Fn(&Seen) -> bool| self.current(key, now_ns).filter(|seen| test(seen)).count() as u64;
        Totals {
            requests: count(&|_| true),
            failures: count(&|seen| seen.failed),
            errors: count(&|seen| seen.code >= 500),
            slow: count(&|seen| self.spec.slow_ns > 0 && seen.latency_ns > self.spec.slow_ns),
        }
    }

    pub(super) fn count_codes(&self, key: &str, from: u16, to: u16, now_ns: u64) -> u64 {
        self.current(key, now_ns).filter(|seen| (from..to).contains(&seen.code)).count() as u64
    }

    pub(super) fn quantile_ms(&self, key: &str, quantile: f64, now_ns: u64) -> u64 {
        let of = |at: u64| at / LATENCY_SLOT_NS;
        let kept = self.of(key).iter().filter(|seen| of(now_ns) - of(seen.at_ns) < LATENCY_SLOTS);
        let mut latencies: Vec<u64> = kept.map(|seen| seen.latency_ns).collect();
        latencies.sort_unstable();
        let rank = (quantile.clamp(0.0, 100.0) / 100.0 * latencies.len() as f64).ceil().max(1.0) as usize;
        latencies.get(rank - 1).map_or(0, |ns| ns / 1_000_000)
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.seen.remove(key);
    }

    fn of(&self, key: &str) -> &[Seen] {
        self.seen.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    fn current(&self, key: &str, now_ns: u64) -> impl Iterator<Item = &Seen> {
        let slot = self.spec.slot_ns.max(1);
        let slots = u64::from(self.spec.slots);
        self.of(key).iter().filter(move |seen| now_ns / slot - seen.at_ns / slot < slots)
    }
}
