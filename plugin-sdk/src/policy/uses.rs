//! Which use a handle means: what `export_policy!` and the mock share.

use crate::policy::{Fields, Outcome, Policy, Subscription, Verdict};
use crate::{log, settings};

/// The configured uses of a plugin within one instance of it. Handles are small, so a use is a place in a list.
pub struct Uses<P>(Vec<Option<P>>);

impl<P: Policy> Uses<P> {
    /// No uses yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a use in place, also in place of one of the same handle. That one stays if the settings are refused.
    pub fn configure(&mut self, handle: u32, settings: &str) -> Result<Subscription, String> {
        let (policy, subscription) = P::configure(settings::parse(settings)?)?;
        let place = handle as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(policy);
        }
        Ok(subscription)
    }

    /// Forgets a use.
    pub fn release(&mut self, handle: u32) {
        if let Some(slot) = self.0.get_mut(handle as usize) {
            *slot = None;
        }
    }

    /// Hands the hook to its use.
    pub fn on_request(&mut self, handle: u32, fields: Fields) -> Verdict {
        self.find(handle).map_or_else(Verdict::next, |policy| policy.on_request(fields))
    }

    /// Hands the hook to its use.
    pub fn on_response(&mut self, handle: u32, context: u64, status: u16, headers: Fields) -> Verdict {
        self.find(handle).map_or_else(Verdict::next, |policy| policy.on_response(context, status, headers))
    }

    /// Hands the hook to its use.
    pub fn on_complete(&mut self, handle: u32, context: u64, outcome: Outcome) {
        if let Some(policy) = self.find(handle) {
            policy.on_complete(context, outcome);
        }
    }

    /// The host never calls a handle it has not configured; should it, the exchange must not pay for that mistake.
    fn find(&mut self, handle: u32) -> Option<&mut P> {
        let policy = self.0.get_mut(handle as usize).and_then(Option::as_mut);
        if policy.is_none() {
            log::error("a hook was called for a use that was never configured");
        }
        policy
    }
}

impl<P: Policy> Default for Uses<P> {
    fn default() -> Self {
        Self::new()
    }
}
