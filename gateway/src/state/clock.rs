//! Time as buckets need it: a number that only grows.

use std::time::{Instant, SystemTime};

/// Nanoseconds since some moment; tests bring their own.
pub trait Clock: Send + Sync {
    /// Never less than any answer before.
    fn now_ns(&self) -> u64;

    /// What `now_ns` was at a moment that has just been read.
    fn ns_at(&self, _moment: Instant) -> u64 {
        self.now_ns()
    }

    /// Milliseconds since 1970, UTC.
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The machine's monotonic clock, counted from when this was made.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }

    fn ns_at(&self, moment: Instant) -> u64 {
        // 64 bits of nanoseconds last 584 years.
        u64::try_from(moment.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}
