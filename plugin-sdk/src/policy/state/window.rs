//! What happened lately.

use std::ops::Range;
use std::time::Duration;

use super::{nanoseconds, wit};
use crate::host;
use crate::policy::Failure;

pub use wit::{Totals, WindowSpec};

/// A set of rolling windows, one for each key.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::state::{Window, WindowSpec};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let window = Window::open("answers", WindowSpec::new(10, Duration::from_secs(1)).with_latency()).unwrap();
/// window.observe("web", 200, None, Duration::from_millis(4));
/// window.observe("web", 503, None, Duration::from_millis(8));
/// assert_eq!(window.code_ratio("web", 500..600, 0..600), 0.5);
/// assert_eq!(window.latency_quantile_ms("web", 50.0), 4);
/// host.advance(Duration::from_secs(11));
/// assert_eq!(window.totals("web").requests, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(wit::Window);

impl WindowSpec {
    /// Counts over `slots` times `slot`, and nothing of latencies.
    #[must_use]
    pub fn new(slots: u32, slot: Duration) -> Self {
        Self { slots, slot_ns: nanoseconds(slot), latency: false, slow_ns: 0 }
    }

    /// The same, with latencies for quantiles: at most 256 keys are kept then.
    #[must_use]
    pub fn with_latency(self) -> Self {
        Self { latency: true, ..self }
    }

    /// The same; what takes longer than this is counted as slow.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Window, WindowSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let spec = WindowSpec::new(10, Duration::from_secs(1)).with_slow(Duration::from_millis(100));
    /// let window = Window::open("answers", spec).unwrap();
    /// window.observe("web", 200, None, Duration::from_millis(101));
    /// assert_eq!(window.totals("web").slow, 1);
    /// ```
    #[must_use]
    pub fn with_slow(self, limit: Duration) -> Self {
        Self { slow_ns: nanoseconds(limit), ..self }
    }
}

impl Window {
    /// Opens the set of that name. Counts stay where only the spec is another, as far as the new window reaches.
    ///
    /// # Errors
    /// Specs that make no sense are refused, and more sets than the host keeps for a policy.
    pub fn open(name: &str, spec: WindowSpec) -> Result<Self, String> {
        host::state::open_window(name, spec).map(Self)
    }

    /// Counts an exchange. `failure` marks a network error; the code is counted as well.
    pub fn observe(self, key: &str, code: u16, failure: Option<Failure>, latency: Duration) {
        host::state::observe(self.0, key, code, failure, nanoseconds(latency));
    }

    /// All that the window holds for a key.
    #[must_use]
    pub fn totals(self, key: &str) -> Totals {
        host::state::count_all(self.0, key)
    }

    /// How many had one of these codes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Window, WindowSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let window = Window::open("answers", WindowSpec::new(10, Duration::from_secs(1))).unwrap();
    /// window.observe("web", 404, None, Duration::ZERO);
    /// assert_eq!(window.count_codes("web", 400..500), 1);
    /// assert_eq!(window.count_codes("web", 500..600), 0);
    /// ```
    #[must_use]
    pub fn count_codes(self, key: &str, codes: Range<u16>) -> u64 {
        host::state::count_codes(self.0, key, codes.start, codes.end)
    }

    /// Codes of one range over codes of another; 0 where there are none of the other.
    #[must_use]
    pub fn code_ratio(self, key: &str, codes: Range<u16>, of: Range<u16>) -> f64 {
        host::state::code_ratio(self.0, key, codes.start, codes.end, of.start, of.end)
    }

    /// The share of requests observed with a failure.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Window, WindowSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// use sluice_plugin_sdk::policy::Failure;
    /// let window = Window::open("answers", WindowSpec::new(10, Duration::from_secs(1))).unwrap();
    /// window.observe("web", 502, Some(Failure::Connect), Duration::ZERO);
    /// window.observe("web", 200, None, Duration::ZERO);
    /// assert_eq!(window.network_error_ratio("web"), 0.5);
    /// ```
    #[must_use]
    pub fn network_error_ratio(self, key: &str) -> f64 {
        host::state::network_error_ratio(self.0, key)
    }

    /// The latency that `quantile` (0 to 100) percent of requests stayed within, in whole milliseconds.
    #[must_use]
    pub fn latency_quantile_ms(self, key: &str, quantile: f64) -> u64 {
        host::state::latency_quantile_ms(self.0, key, quantile)
    }

    /// Forgets a key's counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::state::{Window, WindowSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let window = Window::open("answers", WindowSpec::new(10, Duration::from_secs(1))).unwrap();
    /// window.observe("web", 200, None, Duration::ZERO);
    /// window.forget("web");
    /// assert_eq!(window.totals("web").requests, 0);
    /// ```
    pub fn forget(self, key: &str) {
        host::state::forget(self.0, key);
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated, and derives nothing of its own")]
impl Default for Totals {
    fn default() -> Self {
        Self { requests: 0, failures: 0, errors: 0, slow: 0 }
    }
}
