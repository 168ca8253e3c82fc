//! The state of one policy, shared by all workers and all generations.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use sluice_wasm::{Entered, Observation, Pressure, Totals};

use super::super::buckets::{BucketSpec, Reservation};
use super::super::cells::Cells;
use super::super::clock::Clock;
use super::super::gates::Gates;
use super::super::kv::{Kv, QUOTA};
use super::super::machine::Machine;
use super::super::windows::Windows;
use super::sets::{Named, Opened, Sets, handle};
use super::{OpenError, lock};

/// What a policy keeps.
pub struct PolicyState {
    pub(super) clock: Arc<dyn Clock>,
    machine: Arc<Machine>,
    sets: ArcSwap<Sets>,
    /// Held while sets are added.
    growing: Mutex<()>,
    kv: Kv,
    published: ArcSwapOption<String>,
    forced: AtomicU8,
}

/// What an operator forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// No traffic.
    Open,
    /// All traffic.
    Closed,
    /// As if the policy were not there.
    Disabled,
}

/// What there is, for looking at it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Sets of buckets.
    pub buckets: Vec<BucketSnapshot>,
    /// Sets of gates.
    pub gates: Vec<GateSnapshot>,
    /// Names of sets of windows, and how many keys each keeps.
    pub windows: Vec<(String, usize)>,
    /// The same of sets of numbers.
    pub cells: Vec<(String, usize)>,
    /// Bytes kept.
    pub kv_bytes: u64,
    /// What the policy published, as it wrote it.
    pub published: Option<Arc<String>>,
    /// What the operator forced.
    pub forced: Option<Forced>,
}

/// A set of buckets as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSnapshot {
    /// As the policy named it.
    pub name: String,
    /// The limits of every bucket.
    pub spec: BucketSpec,
    /// How many keys are kept.
    pub keys: usize,
}

/// A set of gates as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSnapshot {
    /// As the policy named it.
    pub name: String,
    /// How many keys are kept.
    pub keys: usize,
    /// Inside of the fullest one.
    pub most_in_flight: u32,
    /// Inside of all.
    pub in_flight: u64,
}

/// The answer where there is no bucket.
pub(super) const NEVER: Reservation = Reservation { granted: false, wait_ns: u64::MAX, remaining: 0 };

impl Forced {
    const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Disabled];

    /// As operators and plugins spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }

    /// What that word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|forced| forced.as_str() == word)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Closed => 2,
            Self::Disabled => 3,
        }
    }
}

impl PolicyState {
    pub(super) fn new(clock: Arc<dyn Clock>, machine: Arc<Machine>) -> Self {
        Self {
            clock,
            machine,
            sets: ArcSwap::default(),
            growing: Mutex::new(()),
            kv: Kv::new(QUOTA),
            published: ArcSwapOption::empty(),
            forced: AtomicU8::new(0),
        }
    }

    /// The handle of buckets that a published recording opened. Limits are those of the recording.
    ///
    /// # Errors
    /// There are none of this name. The same holds for the others.
    pub fn open_bucket(&self, name: &str) -> Result<u32, OpenError> {
        handle(&self.sets.load().buckets, name)
    }

    /// The same for windows.
    ///
    /// # Errors
    /// There are none of this name.
    pub fn open_window(&self, name: &str) -> Result<u32, OpenError> {
        handle(&self.sets.load().windows, name)
    }

    /// The same for gates.
    ///
    /// # Errors
    /// There are none of this name.
    pub fn open_gate(&self, name: &str) -> Result<u32, OpenError> {
        handle(&self.sets.load().gates, name)
    }

    /// The same for numbers.
    ///
    /// # Errors
    /// There are none of this name.
    pub fn open_cell(&self, name: &str) -> Result<u32, OpenError> {
        handle(&self.sets.load().cells, name)
    }

    /// Takes tokens. A handle nobody was given is refused for ever.
    pub fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation {
        match self.sets.load().buckets.get(bucket as usize) {
            Some(named) => named.set.reserve(key, cost, max_wait_ns, &*self.clock),
            None => NEVER,
        }
    }

    /// Gives back what a granted reservation took.
    pub fn refund(&self, bucket: u32, key: &str, cost: u32) {
        if let Some(named) = self.sets.load().buckets.get(bucket as usize) {
            named.set.refund(key, cost, &*self.clock);
        }
    }

    /// Counts an exchange.
    pub fn observe(&self, window: u32, key: &str, seen: Observation) {
        self.window(window, |windows, now| windows.observe(key, seen, now));
    }

    /// What a window holds.
    pub fn totals(&self, window: u32, key: &str) -> Totals {
        self.window(window, |windows, now| windows.totals(key, now))
    }

    /// Codes of `from` up to and not including `to`.
    pub fn count_codes(&self, window: u32, key: &str, from: u16, to: u16) -> u64 {
        self.window(window, |windows, now| windows.count_codes(key, from, to, now))
    }

    /// In whole milliseconds.
    pub fn latency_quantile_ms(&self, window: u32, key: &str, quantile: f64) -> u64 {
        self.window(window, |windows, now| windows.quantile_ms(key, quantile, now))
    }

    /// Forgets a key's counts.
    pub fn forget(&self, window: u32, key: &str) {
        self.window(window, |windows, _| windows.forget(key));
    }

    /// Lets an exchange in.
    pub fn enter(&self, gate: u32, key: &str, priority: u8) -> Entered {
        match self.sets.load().gates.get(gate as usize) {
            Some(named) => named.set.enter(key, priority, &self.clock),
            None => Entered { lease: None, in_flight: 0, limit: 0 },
        }
    }

    /// Changes the limit of gates that are not adaptive.
    pub fn set_limit(&self, gate: u32, limit: u32) {
        if let Some(named) = self.sets.load().gates.get(gate as usize) {
            named.set.set_limit(limit);
        }
    }

    /// A number.
    pub fn load(&self, cell: u32, key: &str) -> u64 {
        self.cell(cell, |cells| cells.load(key)).unwrap_or_default()
    }

    /// Stores a number where another is.
    ///
    /// # Errors
    /// What is there.
    pub fn swap_if(&self, cell: u32, key: &str, expected: u64, new: u64) -> Result<(), u64> {
        self.cell(cell, |cells| cells.swap_if(key, expected, new)).unwrap_or(Err(0))
    }

    /// Adds to a number, not beyond either end.
    pub fn add(&self, cell: u32, key: &str, delta: i64) -> u64 {
        self.cell(cell, |cells| cells.add(key, delta)).unwrap_or_default()
    }

    /// Bytes under a key.
    pub fn kv_get(&self, key: &str) -> Option<Vec<u8>> {
        self.kv.get(key, self.clock.now_ns())
    }

    /// Keeps bytes; `ttl_ns` of 0 is no end.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn kv_set(&self, key: &str, value: Vec<u8>, ttl_ns: u64) -> Result<(), String> {
        self.kv.set(key, value, ttl_ns, self.clock.now_ns())
    }

    /// Forgets bytes.
    pub fn kv_delete(&self, key: &str) {
        self.kv.delete(key);
    }

    /// How many bytes may be kept from now on.
    pub fn set_kv_quota(&self, quota: Option<u64>) {
        self.kv.set_quota(quota.unwrap_or(QUOTA));
    }

    /// Shows a status to the operator.
    pub fn publish(&self, status: String) {
        self.published.store(Some(Arc::new(status)));
    }

    /// What the operator wants of the policy.
    pub fn force(&self, forced: Option<Forced>) {
        self.forced.store(forced.map_or(0, Forced::code), Ordering::Release);
    }

    /// What the operator wanted last.
    pub fn forced(&self) -> Option<Forced> {
        let code = self.forced.load(Ordering::Acquire);
        if code == 0 {
            return None;
        }
        Forced::ALL.into_iter().find(|forced| forced.code() == code)
    }

    /// Whether the operator wants it to be as if the policy were not there.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.forced.load(Ordering::Relaxed) == Forced::Disabled.code()
    }

    /// Time as buckets and windows have it.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// A moment as that time.
    pub fn ns_at(&self, moment: Instant) -> u64 {
        self.clock.ns_at(moment)
    }

    /// Milliseconds since 1970, UTC.
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// How busy the machine is.
    pub fn pressure(&self) -> Pressure {
        self.machine.pressure(self.clock.now_ns())
    }

    /// What there is, for looking at it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let sets = self.sets.load();
        let bucket = |named: &Named<super::super::limits::BucketSet>| BucketSnapshot {
            name: named.name.to_string(),
            spec: named.set.spec(),
            keys: named.set.keys(),
        };
        let gate = |named: &Named<Gates>| {
            let (most_in_flight, in_flight) = named.set.inside();
            GateSnapshot { name: named.name.to_string(), keys: named.set.keys(), most_in_flight, in_flight }
        };
        let window = |named: &Named<Windows>| (named.name.to_string(), named.set.keys());
        let cell = |named: &Named<Cells>| (named.name.to_string(), named.set.keys());
        Snapshot {
            buckets: sets.buckets.iter().map(bucket).collect(),
            gates: sets.gates.iter().map(gate).collect(),
            windows: sets.windows.iter().map(window).collect(),
            cells: sets.cells.iter().map(cell).collect(),
            kv_bytes: self.kv.bytes(),
            published: self.published.load_full(),
            forced: self.forced(),
        }
    }

    pub(super) fn sweep(&self) {
        self.sets.load().sweep(&*self.clock);
        self.kv.sweep(self.clock.now_ns());
    }

    pub(super) fn apply(&self, opened: &Opened) -> Result<(), OpenError> {
        let _growing = lock(&self.growing);
        let sets = self.sets.load().with(opened)?;
        sets.respec(opened, &*self.clock);
        self.sets.store(Arc::new(sets));
        Ok(())
    }

    pub(super) fn check(&self, opened: &Opened) -> Result<(), OpenError> {
        self.sets.load().with(opened).map(|_| ())
    }

    fn window<R: Default>(&self, window: u32, ask: impl FnOnce(&Windows, u64) -> R) -> R {
        let sets = self.sets.load();
        sets.windows.get(window as usize).map(|named| ask(&named.set, self.clock.now_ns())).unwrap_or_default()
    }

    fn cell<R>(&self, cell: u32, ask: impl FnOnce(&Cells) -> R) -> Option<R> {
        self.sets.load().cells.get(cell as usize).map(|named| ask(&named.set))
    }
}

impl std::fmt::Debug for PolicyState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PolicyState").field("state", &self.snapshot()).finish_non_exhaustive()
    }
}
