//! What happened lately, by key: codes, failures, slow ones, and latencies for quantiles.
//!
//! A window is a ring of slots of equal length. A slot is cleared when its turn comes again, so what is older than the
//! whole ring never counts. Latencies are in rings of their own, of which each slot is an HDR histogram.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use hdrhistogram::Histogram;
use sluice_wasm::{Observation, Totals, WindowSpec};

use super::buckets::MAX_KEYS;
use super::keyed::{Kept, Keyed};

/// Keys of windows that keep latencies: a key's histograms take up to 80 KB.
const LATENCY_KEYS: usize = 256;
/// Traefik's: six slots of ten seconds, two digits, up to an hour in microseconds.
const LATENCY_SLOTS: usize = 6;
const LATENCY_SLOT_NS: u64 = 10_000_000_000;
const LATENCY_DIGITS: u8 = 2;
const LONGEST_US: u64 = 3_600_000_000;

/// A set of windows.
pub(super) struct Windows {
    spec: ArcSwap<WindowSpec>,
    tallies: Keyed<Mutex<Tally>>,
}

/// One key's window.
struct Tally {
    spec: WindowSpec,
    slots: Vec<Slot>,
    latencies: Vec<(u64, Histogram<u32>)>,
}

/// What happened in one slot of time.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// Counted from the clock's beginning.
    number: u64,
    totals: Totals,
    /// A service answers with a handful of codes.
    codes: Vec<(u16, u64)>,
}

impl Kept for Mutex<Tally> {}

impl Windows {
    pub(super) fn new(spec: WindowSpec) -> Self {
        Self { spec: ArcSwap::from_pointee(spec), tallies: Keyed::new(most_keys(spec)) }
    }

    pub(super) fn spec(&self) -> WindowSpec {
        **self.spec.load()
    }

    pub(super) fn observe(&self, key: &str, seen: Observation, now_ns: u64) {
        let spec = self.spec();
        let tally = self.tallies.get_or(key, || Mutex::new(Tally::new(spec)));
        lock(&tally, spec, now_ns).observe(seen, now_ns);
    }

    pub(super) fn totals(&self, key: &str, now_ns: u64) -> Totals {
        self.ask(key, now_ns, |tally| {
            tally.current(now_ns).fold(Totals::default(), |sum, slot| added(sum, slot.totals))
        })
    }

    /// Codes of `from` up to and not including `to`.
    pub(super) fn count_codes(&self, key: &str, from: u16, to: u16, now_ns: u64) -> u64 {
        self.ask(key, now_ns, |tally| {
            let codes = tally.current(now_ns).flat_map(|slot| &slot.codes);
            codes.filter(|(code, _)| (from..to).contains(code)).map(|(_, count)| count).sum()
        })
    }

    /// In whole milliseconds; 0 where nothing is known.
    pub(super) fn quantile_ms(&self, key: &str, quantile: f64, now_ns: u64) -> u64 {
        self.ask(key, now_ns, |tally| tally.quantile_us(quantile, now_ns) / 1_000)
    }

    pub(super) fn forget(&self, key: &str) {
        self.tallies.remove(key);
    }

    /// Another spec; what was counted is put into the slots of the new one.
    pub(super) fn respec(&self, spec: WindowSpec) {
        if self.spec() != spec {
            self.spec.store(Arc::new(spec));
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.tallies.len()
    }

    pub(super) fn set_capacity(&self, max_keys: usize) {
        self.tallies.set_capacity(max_keys.min(most_keys(self.spec())));
    }

    /// Forgets keys about which nothing is known any more.
    pub(super) fn sweep(&self, now_ns: u64) {
        let spec = self.spec();
        self.tallies.retain(|tally| {
            let tally = lock(tally, spec, now_ns);
            tally.current(now_ns).any(|slot| slot.totals.requests > 0) || tally.recent(now_ns).next().is_some()
        });
    }

    fn ask<R: Default>(&self, key: &str, now_ns: u64, ask: impl FnOnce(&Tally) -> R) -> R {
        let spec = self.spec();
        self.tallies.get(key).map(|tally| ask(&lock(&tally, spec, now_ns))).unwrap_or_default()
    }
}

fn most_keys(spec: WindowSpec) -> usize {
    if spec.latency { LATENCY_KEYS } else { MAX_KEYS }
}

/// The tally, under the spec of now.
fn lock(tally: &Mutex<Tally>, spec: WindowSpec, now_ns: u64) -> MutexGuard<'_, Tally> {
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    if tally.spec != spec {
        tally.respec(spec, now_ns);
    }
    tally
}

impl Tally {
    fn new(spec: WindowSpec) -> Self {
        Self { spec, slots: vec![Slot::default(); spec.slots as usize], latencies: Vec::new() }
    }

    fn observe(&mut self, seen: Observation, now_ns: u64) {
        let slow = self.spec.slow_ns > 0 && seen.latency_ns > self.spec.slow_ns;
        let one = Totals {
            requests: 1,
            failures: u64::from(seen.failure.is_some()),
            errors: u64::from(seen.code >= 500),
            slow: u64::from(slow),
        };
        if let Some(slot) = self.slot(now_ns / self.spec.slot_ns) {
            slot.totals = added(slot.totals, one);
            slot.count(seen.code, 1);
        }
        if self.spec.latency {
            self.keep(seen.latency_ns / 1_000, now_ns / LATENCY_SLOT_NS);
        }
    }

    /// The slot of that number, cleared if it was another's; `None` if a later one has its place already.
    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let place = number % self.slots.len() as u64;
        let slot = self.slots.get_mut(place as usize).filter(|slot| slot.number <= number)?;
        if slot.number != number {
            slot.number = number;
            slot.totals = Totals::default();
            slot.codes.clear();
        }
        Some(slot)
    }

    fn keep(&mut self, latency_us: u64, number: u64) {
        let place = match self.latencies.iter().position(|(known, _)| *known == number) {
            Some(place) => place,
            None => match self.histogram_for(number) {
                Some(place) => place,
                None => return,
            },
        };
        if let Some((_, histogram)) = self.latencies.get_mut(place) {
            // It grows to any value, and a full count stays full.
            histogram.record(latency_us.min(LONGEST_US)).ok();
        }
    }

    /// A cleared histogram for a slot that has none: a new one, or that of the oldest.
    fn histogram_for(&mut self, number: u64) -> Option<usize> {
        if self.latencies.len() < LATENCY_SLOTS {
            self.latencies.push((number, Histogram::new(LATENCY_DIGITS).ok()?));
            return Some(self.latencies.len() - 1);
        }
        let oldest = self.latencies.iter().enumerate().min_by_key(|(_, (number, _))| *number)?.0;
        let (known, histogram) = self.latencies.get_mut(oldest)?;
        histogram.reset();
        *known = number;
        Some(oldest)
    }

    fn current(&self, now_ns: u64) -> impl Iterator<Item = &Slot> {
        let now = now_ns / self.spec.slot_ns;
        let slots = u64::from(self.spec.slots);
        self.slots.iter().filter(move |slot| now.saturating_sub(slot.number) < slots)
    }

    fn recent(&self, now_ns: u64) -> impl Iterator<Item = &Histogram<u32>> {
        let now = now_ns / LATENCY_SLOT_NS;
        let kept = move |number: u64| now.saturating_sub(number) < LATENCY_SLOTS as u64;
        self.latencies.iter().filter(move |(number, _)| kept(*number)).map(|(_, histogram)| histogram)
    }

    fn quantile_us(&self, quantile: f64, now_ns: u64) -> u64 {
        let Ok(mut merged) = Histogram::<u32>::new(LATENCY_DIGITS) else { return 0 };
        for histogram in self.recent(now_ns) {
            // Both grow.
            merged.add(histogram).ok();
        }
        merged.value_at_quantile(quantile.clamp(0.0, 100.0) / 100.0)
    }

    /// Puts what counts now into the slots of another spec, each by the moment its own slot ended.
    fn respec(&mut self, spec: WindowSpec, now_ns: u64) {
        let before = std::mem::replace(self, Self::new(spec));
        for slot in before.current(now_ns) {
            let ended = slot.number.saturating_add(1).saturating_mul(before.spec.slot_ns).saturating_sub(1);
            let Some(place) = self.slot(ended.min(now_ns) / spec.slot_ns) else { continue };
            place.totals = added(place.totals, slot.totals);
            for (code, count) in &slot.codes {
                place.count(*code, *count);
            }
        }
        if spec.latency {
            self.latencies = before.latencies;
        }
    }
}

impl Slot {
    fn count(&mut self, code: u16, more: u64) {
        match self.codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += more,
            None => self.codes.push((code, more)),
        }
    }
}

fn added(a: Totals, b: Totals) -> Totals {
    Totals {
        requests: a.requests + b.requests,
        failures: a.failures + b.failures,
        errors: a.errors + b.errors,
        slow: a.slow + b.slow,
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
