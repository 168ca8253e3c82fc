//! What a policy opens while it is prepared.

use std::sync::Mutex;

use sluice_wasm::{GateSpec, WindowSpec};

use super::super::buckets::{BucketSpec, Reservation};
use super::super::cells::Cells;
use super::super::gates::Gates;
use super::super::limits::BucketSet;
use super::super::windows::Windows;
use super::policy::NEVER;
use super::sets::{Opened, note};
use super::{OpenError, PolicyState, lock};

/// Notes what is opened and touches nothing. Decisions are those of buckets that are full.
#[derive(Debug, Default)]
pub struct Recording {
    opened: Mutex<Opened>,
}

impl Recording {
    /// Notes a bucket, and gives a handle that is good for this recording alone.
    ///
    /// # Errors
    /// The limits make no sense, or do not fit to what was opened before.
    pub fn open_bucket(&self, name: &str, spec: BucketSpec) -> Result<u32, OpenError> {
        spec.validate().map_err(|error| OpenError::Spec(name.to_owned(), error))?;
        note::<BucketSet>(&mut lock(&self.opened).buckets, name, spec)
    }

    /// Notes a window.
    ///
    /// # Errors
    /// It does not fit to what was opened before.
    pub fn open_window(&self, name: &str, spec: WindowSpec) -> Result<u32, OpenError> {
        note::<Windows>(&mut lock(&self.opened).windows, name, spec)
    }

    /// Notes a gate.
    ///
    /// # Errors
    /// It does not fit to what was opened before.
    pub fn open_gate(&self, name: &str, spec: GateSpec) -> Result<u32, OpenError> {
        note::<Gates>(&mut lock(&self.opened).gates, name, spec)
    }

    /// Notes a set of numbers.
    ///
    /// # Errors
    /// There are too many.
    pub fn open_cell(&self, name: &str) -> Result<u32, OpenError> {
        note::<Cells>(&mut lock(&self.opened).cells, name, ())
    }

    /// What a full bucket would answer. Nothing is taken: a probe costs no client a token.
    pub fn reserve(&self, bucket: u32, _key: &str, cost: u32, _max_wait_ns: u64) -> Reservation {
        let opened = lock(&self.opened);
        let burst = opened.buckets.get(bucket as usize).map_or(0, |(_, spec)| spec.burst);
        match burst.checked_sub(u64::from(cost)) {
            Some(remaining) if burst > 0 => Reservation { granted: true, wait_ns: 0, remaining },
            _ => NEVER,
        }
    }

    /// Opens what was noted, or changes its limits and keeps its counts. Call it when the generation is certain to be
    /// published, and before its workers open anything.
    ///
    /// # Errors
    /// The policy has used too many names; nothing is changed.
    pub fn apply(&self, state: &PolicyState) -> Result<(), OpenError> {
        state.apply(&lock(&self.opened))
    }

    /// Whether [`apply`](Self::apply) would succeed, for refusing a generation before anything of it is published.
    ///
    /// # Errors
    /// As `apply`.
    pub fn check(&self, state: &PolicyState) -> Result<(), OpenError> {
        state.check(&lock(&self.opened))
    }
}
