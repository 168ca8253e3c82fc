//! Gates, and who is inside. Limits change only where a test or the policy says so.

use std::collections::BTreeMap;

use crate::bindings::policy::sluice::gateway::state::{Entered, GateSpec};

/// The gates opened under one name.
pub(super) struct GateSet {
    pub(super) spec: GateSpec,
    inside: BTreeMap<String, u32>,
}

impl GateSet {
    pub(super) fn new(spec: GateSpec) -> Self {
        Self { spec, inside: BTreeMap::new() }
    }

    pub(super) fn enter(&mut self, key: &str, priority: u8) -> Entered {
        let limit = self.spec.limit;
        let share = self.spec.shares.get(usize::from(priority)).or(self.spec.shares.last()).copied().unwrap_or(1000);
        let room = u64::from(limit) * u64::from(share.min(1000)) / 1000;
        let inside = self.inside.entry(key.to_owned()).or_default();
        let granted = u64::from(*inside) < room;
        *inside += u32::from(granted);
        Entered { granted, in_flight: *inside, limit }
    }

    pub(super) fn leave(&mut self, key: &str) {
        if let Some(inside) = self.inside.get_mut(key) {
            *inside = inside.saturating_sub(1);
        }
    }
}
