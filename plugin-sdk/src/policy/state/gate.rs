//! How many exchanges are under way at once.

use super::{Key, wit};
use crate::host;

pub use wit::{Adaptive, AdaptiveKind, Entered, GateSpec};

/// A set of gates, one for each key. The host lets an exchange out again when it has ended, whatever became of it.
///
/// ```
/// use sluice_plugin_sdk::policy::state::{Gate, GateSpec};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let gate = Gate::open("in-flight", &GateSpec::fixed(1)).unwrap();
/// assert!(gate.enter("10.0.0.1", 0).granted);
/// assert!(!gate.enter("10.0.0.1", 0).granted);
/// host.end_exchanges();
/// assert!(gate.enter("10.0.0.1", 0).granted);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate(wit::Gate);

impl GateSpec {
    /// A limit that stays as it is.
    #[must_use]
    pub fn fixed(limit: u32) -> Self {
        Self { limit, adaptive: None, shares: Vec::new() }
    }

    /// A limit that begins there and follows the latency it sees.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::state::{AdaptiveKind, Gate, GateSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let gate = Gate::open("in-flight", &GateSpec::adaptive(AdaptiveKind::Gradient2, 20, 1, 200)).unwrap();
    /// assert_eq!(gate.enter("10.0.0.1", 0).limit, 20);
    /// ```
    #[must_use]
    pub fn adaptive(kind: AdaptiveKind, limit: u32, min: u32, max: u32) -> Self {
        Self { adaptive: Some(Adaptive { kind, min, max }), ..Self::fixed(limit) }
    }

    /// The same, and how much of the limit requests of each priority may fill, in thousandths.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::state::{Gate, GateSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// // Requests of priority 1 and below may fill half of it.
    /// let gate = Gate::open("in-flight", &GateSpec::fixed(2).with_shares([1000, 500])).unwrap();
    /// assert!(gate.enter("all", 1).granted);
    /// assert!(!gate.enter("all", 1).granted);
    /// assert!(gate.enter("all", 0).granted);
    /// ```
    #[must_use]
    pub fn with_shares(mut self, shares: impl IntoIterator<Item = u16>) -> Self {
        self.shares.extend(shares);
        self
    }
}

impl Gate {
    /// Opens the set of that name. Who is inside stays counted, whatever the limits were.
    ///
    /// # Errors
    /// Limits that make no sense are refused, and more sets than the host keeps for a policy.
    pub fn open(name: &str, spec: &GateSpec) -> Result<Self, String> {
        host::state::open_gate(name, spec).map(Self)
    }

    /// Lets the current exchange in, if there is room for one of its priority; 0 is the highest. Works only in
    /// [`on_request`](crate::policy::Policy::on_request).
    #[must_use]
    pub fn enter<'a>(self, key: impl Into<Key<'a>>, priority: u8) -> Entered {
        match key.into() {
            Key::Text(key) => host::state::enter(self.0, key, priority),
            Key::Field(place) => host::state::enter_by(self.0, place, priority),
        }
    }

    /// Changes the limit of every key, where it is not an adaptive one.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::state::{Gate, GateSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let gate = Gate::open("in-flight", &GateSpec::fixed(1)).unwrap();
    /// gate.set_limit(2);
    /// assert_eq!(gate.enter("10.0.0.1", 0).limit, 2);
    /// ```
    pub fn set_limit(self, limit: u32) {
        host::state::set_limit(self.0, limit);
    }
}
