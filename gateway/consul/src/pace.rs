//! How fast a poll may go: a token bucket against churn, and back-off against failure.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between reads of one poll under continuous change. Reads are no more than there are changes; longer
/// times were seen to show one service as it was beside another as it is.
const REFILL: Duration = Duration::from_millis(2);
/// The first failures are retried quickly: a restarting agent is back within a second.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Long enough to leave an overloaded agent alone.
const LAST_DELAY: Duration = Duration::from_secs(30);

/// A token bucket of burst 2: a change after a quiet time is read at once, and so is the one right behind it.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// When the bucket is full again.
    full_at: Instant,
}

/// Doubling delays with jitter, from 100 ms to 30 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token and says how long to wait before using it.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let start = self.full_at.max(now);
        self.full_at = start + REFILL;
        (start - now).saturating_sub(REFILL)
    }
}

impl Backoff {
    /// The delay after one more failure: between half of the nominal one and all of it.
    pub(crate) fn failed(&mut self) -> Duration {
        let nominal = FIRST_DELAY.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LAST_DELAY);
        self.failures = self.failures.saturating_add(1);
        nominal.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Forgets all failures; says whether there were any.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_at_once_then_one_per_refill() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        let delays: Vec<_> = (0..4).map(|_| bucket.take(now)).collect();
        assert_eq!(delays, [Duration::ZERO, Duration::ZERO, REFILL, REFILL * 2]);
    }

    #[test]
    fn a_quiet_time_fills_the_bucket_but_never_above_its_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        for _ in 0..3 {
            bucket.take(now);
        }
        let later = now + Duration::from_secs(60);
        let delays: Vec<_> = (0..3).map(|_| bucket.take(later)).collect();
        assert_eq!(delays, [Duration::ZERO, Duration::ZERO, REFILL]);
    }

    #[test]
    fn back_off_doubles_is_jittered_and_capped() {
        let mut backoff = Backoff::default();
        let mut nominal = FIRST_DELAY;
        for _ in 0..70 {
            let delay = backoff.failed();
            assert!(delay >= nominal / 2 && delay <= nominal, "{delay:?} of {nominal:?}");
            nominal = (nominal * 2).min(LAST_DELAY);
        }
        assert!(backoff.succeeded());
        assert!(!backoff.succeeded());
        assert!(backoff.failed() <= FIRST_DELAY);
    }
}
