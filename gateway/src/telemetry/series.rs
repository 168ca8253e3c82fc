//! Counts and durations by status, method and protocol, one shard for each worker.
//!
//! Takes what a finished request was; gives totals over all shards when somebody looks. A request touches three numbers
//! in memory that only its own worker writes: no lock, no look-up by name, nothing formatted.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;

/// Upper bounds of request durations in seconds, a superset of Traefik's four; one more bucket has the rest.
pub(super) const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1.2, 2.5, 5.0, 10.0];

const BOUNDS_NS: [u64; 13] = {
    const MS: u64 = 1_000_000;
    [
        MS,
        2_500_000,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        300 * MS,
        500 * MS,
        1_200 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
    ]
};

const METHODS: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER"];

/// What tells the series of one family apart, packed so that it can be compared in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u32);

/// Series of one service or entrypoint.
#[derive(Debug)]
pub(super) struct Series {
    shards: Box<[Shard]>,
}

/// A fixed number of series, claimed as they appear: a peer that invents statuses cannot make it grow.
#[derive(Debug)]
struct Shard {
    slots: Box<[Slot]>,
    /// Everything for which there was no slot.
    rest: OnceLock<Box<Cell>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// 0 where it is free.
    key: AtomicU32,
    cell: OnceLock<Box<Cell>>,
}

/// Aligned so that two workers never write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
    bytes: AtomicU64,
}

/// The sum of a series over all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Each bucket by itself, not cumulated.
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) sum_ns: u64,
    pub(super) bytes: u64,
}

impl Key {
    /// The series of everything that found no slot.
    pub(super) const REST: Self = Self(u32::MAX);

    pub(super) fn new(status: u16, method: &Method) -> Self {
        Self(u32::from(status.max(1)) << 4 | method_index(method))
    }

    /// `code`, `method` and `protocol` as Traefik labels them: `protocol` tells upgraded connections from plain requests,
    /// not versions of HTTP.
    pub(super) fn labels(self) -> [(&'static str, String); 3] {
        if self == Self::REST {
            return [("code", "other".into()), ("method", "_OTHER".into()), ("protocol", "http".into())];
        }
        let status = self.0 >> 4;
        let method = METHODS.get((self.0 & 15) as usize).copied().unwrap_or("_OTHER");
        let protocol = if status == 101 { "websocket" } else { "http" };
        [("code", status.to_string()), ("method", method.into()), ("protocol", protocol.into())]
    }
}

impl Series {
    /// `slots` is how many series there may be.
    pub(super) fn new(shards: usize, slots: usize) -> Self {
        let shard = |_| Shard { slots: (0..slots).map(|_| Slot::default()).collect(), rest: OnceLock::new() };
        Self { shards: (0..shards.max(1)).map(shard).collect() }
    }

    /// Counts one request.
    pub(super) fn record(&self, shard: usize, key: Key, duration: Duration, bytes: u64) {
        if let Some(shard) = self.shards.get(shard % self.shards.len()) {
            shard.cell(key).record(duration, bytes);
        }
    }

    /// What has been counted, over all shards.
    pub(super) fn totals(&self) -> BTreeMap<Key, Totals> {
        let mut totals: BTreeMap<Key, Totals> = BTreeMap::new();
        for shard in &self.shards {
            for (key, cell) in shard.cells() {
                cell.add_to(totals.entry(key).or_default());
            }
        }
        totals
    }
}

impl Shard {
    fn cell(&self, key: Key) -> &Cell {
        let count = self.slots.len();
        let start = key.0 as usize;
        for step in 0..count {
            let Some(slot) = self.slots.get((start + step) % count) else {
                break;
            };
            let mut owner = slot.key.load(Ordering::Relaxed);
            if owner == 0 {
                let claimed = slot.key.compare_exchange(0, key.0, Ordering::Relaxed, Ordering::Relaxed);
                owner = claimed.map_or_else(|other| other, |_| key.0);
            }
            if owner == key.0 {
                return slot.cell.get_or_init(Box::default);
            }
        }
        self.rest.get_or_init(Box::default)
    }

    fn cells(&self) -> impl Iterator<Item = (Key, &Cell)> {
        let slots = self.slots.iter().filter_map(|slot| {
            let cell = slot.cell.get()?;
            Some((Key(slot.key.load(Ordering::Relaxed)), cell.as_ref()))
        });
        slots.chain(self.rest.get().map(|cell| (Key::REST, cell.as_ref())))
    }
}

impl Cell {
    fn record(&self, duration: Duration, bytes: u64) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most requests are in the first few buckets, so going through them in order is the quickest way.
        let bucket = BOUNDS_NS.iter().position(|bound| ns <= *bound).unwrap_or(BOUNDS_NS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_to(&self, totals: &mut Totals) {
        for (total, bucket) in totals.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Ordering::Relaxed);
        }
        totals.sum_ns = totals.sum_ns.wrapping_add(self.sum_ns.load(Ordering::Relaxed));
        totals.bytes = totals.bytes.wrapping_add(self.bytes.load(Ordering::Relaxed));
    }
}

impl Totals {
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

fn method_index(method: &Method) -> u32 {
    match *method {
        Method::CONNECT => 0,
        Method::DELETE => 1,
        Method::GET => 2,
        Method::HEAD => 3,
        Method::OPTIONS => 4,
        Method::PATCH => 5,
        Method::POST => 6,
        Method::PUT => 7,
        Method::TRACE => 8,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn shards_are_summed_and_series_kept_apart() {
        let series = Series::new(2, 8);
        let (get, post) = (Key::new(200, &Method::GET), Key::new(503, &Method::POST));
        series.record(0, get, MS, 10);
        series.record(1, get, MS * 2, 20);
        series.record(1, post, MS * 60_000, 5);
        let totals = series.totals();
        assert_eq!(totals.len(), 2);
        assert_eq!((totals[&get].count(), totals[&get].bytes, totals[&get].sum_ns), (2, 30, 3_000_000));
        assert_eq!(totals[&get].buckets[..2], [1, 1], "a bound belongs to its bucket");
        assert_eq!(totals[&post].buckets[BOUNDS.len()], 1);
    }

    #[test]
    fn bounds_are_the_same_in_both_units() {
        for (seconds, ns) in BOUNDS.iter().zip(BOUNDS_NS) {
            assert_eq!(Duration::from_secs_f64(*seconds).as_nanos(), u128::from(ns));
        }
    }

    #[test]
    fn too_many_statuses_are_counted_together() {
        let series = Series::new(1, 4);
        for status in 200..300 {
            series.record(0, Key::new(status, &Method::GET), MS, 0);
        }
        let totals = series.totals();
        assert_eq!(totals.len(), 5);
        assert_eq!(totals[&Key::REST].count(), 96);
        assert_eq!(totals.values().map(Totals::count).sum::<u64>(), 100);
    }

    #[test]
    fn labels_are_traefiks() {
        let values = |key: Key| key.labels().map(|(_, value)| value).join(" ");
        assert_eq!(values(Key::new(200, &Method::GET)), "200 GET http");
        assert_eq!(values(Key::new(101, &Method::GET)), "101 GET websocket");
        assert_eq!(values(Key::new(404, &Method::from_bytes(b"BREW").unwrap())), "404 _OTHER http");
    }

    #[test]
    fn threads_lose_nothing_in_one_shard() {
        let series = Series::new(1, 16);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for status in 0..10_000_u16 {
                        series.record(0, Key::new(200 + status % 8, &Method::GET), MS, 1);
                    }
                });
            }
        });
        let totals = series.totals();
        assert_eq!(totals.len(), 8);
        assert_eq!(totals.values().map(Totals::count).sum::<u64>(), 40_000);
    }
}
