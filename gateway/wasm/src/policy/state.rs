//! State, time, chance and the machine, as the guest uses them.

use std::num::NonZeroU64;

use super::data::{Now, PolicyData};
use super::wit::{clock, policy_types, random, state, system};
use crate::convert;
use crate::host::ExchangeHost;
use crate::state::{BucketSpec, Entered, Observation, WindowSpec};

/// The longest status a policy may publish.
const STATUS_BYTES: usize = 16 * 1024;
/// Slots of a window, and the shortest one.
const MOST_SLOTS: u32 = 60;
const SHORTEST_SLOT_NS: u64 = 1_000_000;

type Opened = wasmtime::Result<Result<u32, String>>;

impl<E: ExchangeHost> PolicyData<E> {
    fn open(&self, name: &str, open: impl FnOnce(&dyn crate::host::PolicyState) -> Result<u32, String>) -> Opened {
        if !self.is_configuring() {
            return Ok(Err(format!("`{name}` can only be opened while configuring")));
        }
        Ok(open(self.state()?))
    }

    /// Has the exchange hold a place in a gate. Outside a hook there is none, and the place is given back at once.
    pub(super) fn keep(&mut self, entered: Entered) -> state::Entered {
        let (in_flight, limit) = (entered.in_flight, entered.limit);
        let granted = match (entered.lease, &mut self.now) {
            (Some(lease), Now::Hook { exchange, .. }) => exchange.hold(lease),
            _ => false,
        };
        state::Entered { granted, in_flight, limit }
    }
}

impl<E: ExchangeHost> state::Host for PolicyData<E> {
    fn open_bucket(&mut self, name: String, spec: state::BucketSpec) -> Opened {
        let limits = (NonZeroU64::new(spec.average), NonZeroU64::new(spec.period_ns), NonZeroU64::new(spec.burst));
        let (Some(average), Some(period_ns), Some(burst)) = limits else {
            return Ok(Err(format!("bucket `{name}` needs an average, a period and a burst of at least 1")));
        };
        let spec = BucketSpec { kind: convert::bucket_kind(spec.kind), average, period_ns, burst };
        self.open(&name, |state| state.open_bucket(&name, spec))
    }

    fn reserve(
        &mut self,
        bucket: u32,
        key: String,
        cost: u32,
        max_wait_ns: u64,
    ) -> wasmtime::Result<state::Reservation> {
        let reservation = self.state()?.reserve(bucket, &key, cost, max_wait_ns);
        Ok(convert::reservation(reservation))
    }

    fn reserve_by(
        &mut self,
        bucket: u32,
        field: u32,
        cost: u32,
        max_wait_ns: u64,
    ) -> wasmtime::Result<state::Reservation> {
        let reservation = self.ask_by(field, |state, key| state.reserve(bucket, key, cost, max_wait_ns))?;
        Ok(convert::reservation(reservation))
    }

    fn refund(&mut self, bucket: u32, key: String, cost: u32) -> wasmtime::Result<()> {
        self.state()?.refund(bucket, &key, cost);
        Ok(())
    }

    fn open_window(&mut self, name: String, spec: state::WindowSpec) -> Opened {
        if !(1..=MOST_SLOTS).contains(&spec.slots) || spec.slot_ns < SHORTEST_SLOT_NS {
            return Ok(Err(format!("window `{name}` needs 1 to {MOST_SLOTS} slots of a millisecond or more")));
        }
        let state::WindowSpec { slots, slot_ns, latency, slow_ns } = spec;
        self.open(&name, |state| state.open_window(&name, WindowSpec { slots, slot_ns, latency, slow_ns }))
    }

    fn observe(
        &mut self,
        window: u32,
        key: String,
        code: u16,
        failure: Option<policy_types::Failure>,
        latency_ns: u64,
    ) -> wasmtime::Result<()> {
        let seen = Observation { code, failure: failure.map(convert::failure_of), latency_ns };
        self.state()?.observe(window, &key, seen);
        Ok(())
    }

    fn count_all(&mut self, window: u32, key: String) -> wasmtime::Result<state::Totals> {
        Ok(convert::totals(self.state()?.totals(window, &key)))
    }

    fn count_codes(&mut self, window: u32, key: String, from: u16, to: u16) -> wasmtime::Result<u64> {
        Ok(self.state()?.count_codes(window, &key, from, to))
    }

    fn code_ratio(
        &mut self,
        window: u32,
        key: String,
        from: u16,
        to: u16,
        divisor_from: u16,
        divisor_to: u16,
    ) -> wasmtime::Result<f64> {
        let state = self.state()?;
        let divisor = state.count_codes(window, &key, divisor_from, divisor_to);
        Ok(ratio(state.count_codes(window, &key, from, to), divisor))
    }

    fn network_error_ratio(&mut self, window: u32, key: String) -> wasmtime::Result<f64> {
        let totals = self.state()?.totals(window, &key);
        Ok(ratio(totals.failures, totals.requests))
    }

    fn latency_quantile_ms(&mut self, window: u32, key: String, quantile: f64) -> wasmtime::Result<u64> {
        Ok(self.state()?.latency_quantile_ms(window, &key, quantile))
    }

    fn forget(&mut self, window: u32, key: String) -> wasmtime::Result<()> {
        self.state()?.forget(window, &key);
        Ok(())
    }

    fn open_gate(&mut self, name: String, spec: state::GateSpec) -> Opened {
        if spec.adaptive.is_some_and(|adaptive| adaptive.min == 0 || adaptive.max < adaptive.min) {
            return Ok(Err(format!("gate `{name}` needs a least limit of 1 and a largest one that is not below it")));
        }
        self.open(&name, |state| state.open_gate(&name, convert::gate_spec(spec)))
    }

    fn enter(&mut self, gate: u32, key: String, priority: u8) -> wasmtime::Result<state::Entered> {
        let entered = self.state()?.enter(gate, &key, priority);
        Ok(self.keep(entered))
    }

    fn enter_by(&mut self, gate: u32, field: u32, priority: u8) -> wasmtime::Result<state::Entered> {
        let entered = self.ask_by(field, |state, key| state.enter(gate, key, priority))?;
        Ok(self.keep(entered))
    }

    fn set_limit(&mut self, gate: u32, limit: u32) -> wasmtime::Result<()> {
        self.state()?.set_limit(gate, limit);
        Ok(())
    }

    fn open_cell(&mut self, name: String) -> Opened {
        self.open(&name, |state| state.open_cell(&name))
    }

    fn load(&mut self, cell: u32, key: String) -> wasmtime::Result<u64> {
        Ok(self.state()?.load(cell, &key))
    }

    fn swap_if(&mut self, cell: u32, key: String, expected: u64, new: u64) -> wasmtime::Result<Result<(), u64>> {
        Ok(self.state()?.swap_if(cell, &key, expected, new))
    }

    fn add(&mut self, cell: u32, key: String, delta: i64) -> wasmtime::Result<u64> {
        Ok(self.state()?.add(cell, &key, delta))
    }

    fn kv_get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.state()?.kv_get(&key))
    }

    fn kv_set(&mut self, key: String, value: Vec<u8>, ttl_ns: u64) -> wasmtime::Result<Result<(), String>> {
        Ok(self.state()?.kv_set(&key, value, ttl_ns))
    }

    fn kv_delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.state()?.kv_delete(&key);
        Ok(())
    }

    fn publish(&mut self, status: String) -> wasmtime::Result<()> {
        if status.len() <= STATUS_BYTES {
            self.state()?.publish(status);
        }
        Ok(())
    }

    fn forced(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.state()?.forced().map(str::to_owned))
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl<E: ExchangeHost> clock::Host for PolicyData<E> {
    fn now_ns(&mut self) -> wasmtime::Result<u64> {
        Ok(self.state()?.now_ns())
    }

    fn wall_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.state()?.wall_ms())
    }
}

impl<E: ExchangeHost> random::Host for PolicyData<E> {
    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.draw())
    }
}

impl<E: ExchangeHost> system::Host for PolicyData<E> {
    fn measure(&mut self) -> wasmtime::Result<system::Pressure> {
        Ok(convert::pressure(self.state()?.pressure()))
    }
}
