//! How many requests of a service may be sent again at once, whoever asks for it: a retry step, a hedge or a policy.
//!
//! When a service fails, retries multiply the load that makes it fail. So no more than a fifth of the requests under way
//! may be retries, and three where that is less.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The least number of retries that may be under way.
const LEAST: u32 = 3;
/// One in this many requests may be a retry.
const SHARE: u32 = 5;

/// One service's retries under way.
#[derive(Debug, Default)]
pub struct RetryBudget {
    under_way: AtomicU32,
}

/// A retry under way; it ends when this is dropped.
#[derive(Debug)]
pub struct RetryPermit {
    budget: Arc<RetryBudget>,
}

impl RetryBudget {
    /// A place for one more retry, while `in_flight` requests are under way at the service; `None` where there are
    /// enough.
    #[must_use]
    pub fn begin(self: &Arc<Self>, in_flight: u32) -> Option<RetryPermit> {
        let most = (in_flight / SHARE).max(LEAST);
        let more = |under_way: u32| (under_way < most).then_some(under_way + 1);
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(RetryPermit { budget: Arc::clone(self) })
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.budget.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_and_at_least_three() {
        let budget = Arc::new(RetryBudget::default());
        for (in_flight, most) in [(0, 3), (15, 3), (20, 4), (100, 20)] {
            let permits: Vec<_> = std::iter::from_fn(|| budget.begin(in_flight)).collect();
            assert_eq!(permits.len(), most, "{in_flight}");
        }
        assert_eq!(budget.under_way.load(Ordering::Relaxed), 0, "each is given back");
    }
}
