//! What policies keep in the host, as plain Rust. The meaning of each is documented in `wit/host.wit`.

use std::num::NonZeroU64;

use crate::types::Failure;

/// How a set of buckets counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BucketKind {
    /// Tokens that come back evenly; the generic cell rate algorithm is the same.
    #[default]
    Token,
    /// So many in any span of a period, estimated.
    SlidingWindow,
    /// So many in each unit of the UTC calendar.
    Calendar,
}

/// Limits of a set of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketSpec {
    /// How they count.
    pub kind: BucketKind,
    /// Tokens gained each period.
    pub average: NonZeroU64,
    /// The period in nanoseconds.
    pub period_ns: NonZeroU64,
    /// Tokens a full bucket holds.
    pub burst: NonZeroU64,
}

/// What asking a bucket for tokens gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The tokens are taken.
    Granted {
        /// How long to wait before going on; 0 for at once.
        wait_ns: u64,
        /// Whole tokens left.
        remaining: u64,
    },
    /// Nothing was taken.
    Refused {
        /// How long until it could be granted at once.
        retry_ns: u64,
        /// Whole tokens left.
        remaining: u64,
    },
}

/// What a set of windows counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// How many slots it has.
    pub slots: u32,
    /// How long each of them is.
    pub slot_ns: u64,
    /// Whether latencies are kept.
    pub latency: bool,
    /// What takes longer is slow; 0 for nothing.
    pub slow_ns: u64,
}

/// An exchange as a window counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Its status.
    pub code: u16,
    /// What kept it from a usable answer.
    pub failure: Option<Failure>,
    /// How long it took.
    pub latency_ns: u64,
}

/// What a window holds for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them.
    pub requests: u64,
    /// Those with a failure.
    pub failures: u64,
    /// Those with a code of 500 or above.
    pub errors: u64,
    /// Those that were slow.
    pub slow: u64,
}

/// How a limit follows the latency it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdaptiveKind {
    /// By the ratio of long-term to present latency.
    Gradient2,
    /// By the queue that the latency above its minimum stands for.
    Vegas,
    /// Up by one, down by a tenth.
    Aimd,
}

/// A limit that follows the latency it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Adaptive {
    /// How.
    pub kind: AdaptiveKind,
    /// It never goes below.
    pub min: u32,
    /// It never goes above.
    pub max: u32,
}

/// What a set of gates lets in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GateSpec {
    /// Exchanges at once for a key, to begin with.
    pub limit: u32,
    /// Whether it adapts.
    pub adaptive: Option<Adaptive>,
    /// Thousandths of the limit that each priority may fill.
    pub shares: Vec<u16>,
}

/// What asking a gate gave.
pub struct Entered {
    /// A place inside, where there was one.
    pub lease: Option<Box<dyn GateLease>>,
    /// Inside now.
    pub in_flight: u32,
    /// As it stands now.
    pub limit: u32,
}

/// A place inside a gate. Dropping it gives it back; nothing is learnt from its duration then.
pub trait GateLease: Send + Sync {
    /// The exchange has ended by itself; `overloaded` where it timed out or was refused upstream.
    fn finish(self: Box<Self>, overloaded: bool);
}

/// How busy the machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Of all processors, in thousandths.
    pub cpu_permille: u32,
    /// Of the memory there is, in thousandths.
    pub memory_permille: u32,
    /// How late timers are.
    pub loop_lag_ns: u64,
}
