//! State as plugins reach it: the host side of `sluice-wasm`'s [`PolicyState`](sluice_wasm::PolicyState).

use sluice_wasm::{Entered, GateSpec, Observation, Pressure, Totals, WindowSpec};

use super::buckets::{BucketSpec, Reservation};
use super::instances::InstanceState;
use super::registry::{Forced, PolicyState, Recording};

/// For workers: finds what was opened while the policy was prepared.
impl sluice_wasm::PolicyState for PolicyState {
    fn open_bucket(&self, name: &str, _: sluice_wasm::BucketSpec) -> Result<u32, String> {
        self.open_bucket(name).map_err(|error| error.to_string())
    }

    fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> sluice_wasm::Reservation {
        self.reserve(bucket, key, cost, max_wait_ns).into()
    }

    fn refund(&self, bucket: u32, key: &str, cost: u32) {
        self.refund(bucket, key, cost);
    }

    fn open_window(&self, name: &str, _: WindowSpec) -> Result<u32, String> {
        self.open_window(name).map_err(|error| error.to_string())
    }

    fn observe(&self, window: u32, key: &str, seen: Observation) {
        self.observe(window, key, seen);
    }

    fn totals(&self, window: u32, key: &str) -> Totals {
        self.totals(window, key)
    }

    fn count_codes(&self, window: u32, key: &str, from: u16, to: u16) -> u64 {
        self.count_codes(window, key, from, to)
    }

    fn latency_quantile_ms(&self, window: u32, key: &str, quantile: f64) -> u64 {
        self.latency_quantile_ms(window, key, quantile)
    }

    fn forget(&self, window: u32, key: &str) {
        self.forget(window, key);
    }

    fn open_gate(&self, name: &str, _: GateSpec) -> Result<u32, String> {
        self.open_gate(name).map_err(|error| error.to_string())
    }

    fn enter(&self, gate: u32, key: &str, priority: u8) -> Entered {
        self.enter(gate, key, priority)
    }

    fn set_limit(&self, gate: u32, limit: u32) {
        self.set_limit(gate, limit);
    }

    fn open_cell(&self, name: &str) -> Result<u32, String> {
        self.open_cell(name).map_err(|error| error.to_string())
    }

    fn load(&self, cell: u32, key: &str) -> u64 {
        self.load(cell, key)
    }

    fn swap_if(&self, cell: u32, key: &str, expected: u64, new: u64) -> Result<(), u64> {
        self.swap_if(cell, key, expected, new)
    }

    fn add(&self, cell: u32, key: &str, delta: i64) -> u64 {
        self.add(cell, key, delta)
    }

    fn kv_get(&self, key: &str) -> Option<Vec<u8>> {
        self.kv_get(key)
    }

    fn kv_set(&self, key: &str, value: Vec<u8>, ttl_ns: u64) -> Result<(), String> {
        self.kv_set(key, value, ttl_ns)
    }

    fn kv_delete(&self, key: &str) {
        self.kv_delete(key);
    }

    fn publish(&self, status: String) {
        self.publish(status);
    }

    fn forced(&self) -> Option<&'static str> {
        self.forced().map(Forced::as_str)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns()
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms()
    }

    fn pressure(&self) -> Pressure {
        self.pressure()
    }
}

/// For the control plane: notes what a policy opens and counts nothing.
impl sluice_wasm::PolicyState for Recording {
    fn open_bucket(&self, name: &str, spec: sluice_wasm::BucketSpec) -> Result<u32, String> {
        self.open_bucket(name, spec.into()).map_err(|error| error.to_string())
    }

    fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> sluice_wasm::Reservation {
        self.reserve(bucket, key, cost, max_wait_ns).into()
    }

    fn refund(&self, _: u32, _: &str, _: u32) {}

    fn open_window(&self, name: &str, spec: WindowSpec) -> Result<u32, String> {
        self.open_window(name, spec).map_err(|error| error.to_string())
    }

    fn open_gate(&self, name: &str, spec: GateSpec) -> Result<u32, String> {
        self.open_gate(name, spec).map_err(|error| error.to_string())
    }

    fn open_cell(&self, name: &str) -> Result<u32, String> {
        self.open_cell(name).map_err(|error| error.to_string())
    }
}

impl From<sluice_wasm::BucketSpec> for BucketSpec {
    fn from(spec: sluice_wasm::BucketSpec) -> Self {
        let sluice_wasm::BucketSpec { kind, average, period_ns, burst } = spec;
        Self { kind, average: average.get(), period_ns: period_ns.get(), burst: burst.get() }
    }
}

impl From<Reservation> for sluice_wasm::Reservation {
    fn from(reservation: Reservation) -> Self {
        let Reservation { granted, wait_ns, remaining } = reservation;
        if granted { Self::Granted { wait_ns, remaining } } else { Self::Refused { retry_ns: wait_ns, remaining } }
    }
}

impl sluice_wasm::AskedInstance for InstanceState {
    fn authority(&self) -> &str {
        &self.authority
    }
}
