//! What clients are told of their limit: `RateLimit-Policy` and `RateLimit`, as the IETF's draft has them.

use std::time::Duration;

use sluice_plugin_sdk::policy::exchange;

use crate::limiter::rounded_up;
use crate::settings::Rate;

/// A rate and what is left of it.
pub(crate) struct Quota {
    rate: Rate,
    remaining: u64,
    /// Until there is more, at most.
    reset: Duration,
}

impl Quota {
    /// Something was taken.
    pub(crate) fn left(rate: &Rate, remaining: u64) -> Self {
        let missing = rate.burst.max(1).saturating_sub(remaining);
        let interval = rate.period.as_nanos() / u128::from(rate.average.max(1));
        let reset = u64::try_from(interval.saturating_mul(u128::from(missing))).unwrap_or(u64::MAX);
        Self { rate: *rate, remaining, reset: Duration::from_nanos(reset).min(rate.period) }
    }

    /// Nothing could be taken.
    pub(crate) fn spent(rate: &Rate, retry_in: Duration) -> Self {
        Self { rate: *rate, remaining: 0, reset: retry_in }
    }

    pub(crate) fn headers(&self) -> [(&'static str, String); 2] {
        let Rate { average, period, .. } = self.rate;
        let policy = format!(r#""default";q={average};w={}"#, rounded_up(period).max(1));
        [
            ("RateLimit-Policy", policy),
            ("RateLimit", format!(r#""default";r={};t={}"#, self.remaining, rounded_up(self.reset))),
        ]
    }

    /// Puts them on the answer there will be.
    pub(crate) fn announce(&self) {
        for (name, value) in self.headers() {
            // They are valid headers, and an answer without them is none the worse.
            let _ = exchange::set_response_header(name, &value);
        }
    }
}
