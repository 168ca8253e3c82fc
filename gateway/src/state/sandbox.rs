//! State as plugins reach it: the host side of `sluice-wasm`'s [`PolicyState`](sluice_wasm::PolicyState).

use super::buckets::{BucketSpec, Reservation};
use super::registry::{PolicyState, Recording};

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
}

impl From<sluice_wasm::BucketSpec> for BucketSpec {
    fn from(spec: sluice_wasm::BucketSpec) -> Self {
        Self { average: spec.average.get(), period_ns: spec.period_ns.get(), burst: spec.burst.get() }
    }
}

impl From<Reservation> for sluice_wasm::Reservation {
    fn from(reservation: Reservation) -> Self {
        let Reservation { granted, wait_ns, remaining } = reservation;
        if granted { Self::Granted { wait_ns, remaining } } else { Self::Refused { retry_ns: wait_ns, remaining } }
    }
}
