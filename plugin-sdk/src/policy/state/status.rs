//! What the operator sees, and what he forces.

use crate::bindings::policy::sluice::gateway::policy_types::Force;
use crate::host;
use crate::policy::at_hand;

/// What an operator forced by `POST /api/policies/NAME/force`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// No traffic.
    Open,
    /// All traffic.
    Closed,
    /// As if the policy were not there.
    Disabled,
}

/// Shows a JSON object of at most 16 KiB at `/api/policies/NAME`; the last one counts.
///
/// ```
/// use sluice_plugin_sdk::policy::state;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// state::publish(r#"{"state": "open"}"#);
/// assert_eq!(host.published().as_deref(), Some(r#"{"state": "open"}"#));
/// ```
pub fn publish(status: &str) {
    host::state::publish(status);
}

/// What the operator wants of this policy, if anything.
///
/// ```
/// use sluice_plugin_sdk::policy::state::{Forced, forced};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// assert_eq!(forced(), None);
/// host.force(Some(Forced::Open));
/// assert_eq!(forced(), Some(Forced::Open));
/// ```
#[must_use]
pub fn forced() -> Option<Forced> {
    Some(match at_hand::forced()? {
        Force::Open => Forced::Open,
        Force::Closed => Forced::Closed,
        Force::Disabled => Forced::Disabled,
    })
}
