//! How busy the machine is.

use crate::host;

pub use crate::bindings::policy::sluice::gateway::system::Pressure;

/// What the host measured last, at most a quarter of a second ago.
///
/// ```
/// use sluice_plugin_sdk::policy::system::{Pressure, pressure};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.set_pressure(Pressure { cpu_permille: 950, memory_permille: 400, loop_lag_ns: 2_000_000 });
/// assert_eq!(pressure().cpu_permille, 950);
/// ```
#[must_use]
pub fn pressure() -> Pressure {
    host::system::measure()
}

#[expect(clippy::derivable_impls, reason = "the type is generated, and derives nothing of its own")]
impl Default for Pressure {
    fn default() -> Self {
        Self { cpu_permille: 0, memory_permille: 0, loop_lag_ns: 0 }
    }
}
