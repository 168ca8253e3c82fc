//! State the host keeps: one truth for all workers, and it outlives plugin versions, routes and generations.
//!
//! It is opened while a policy is [configured](crate::policy::Policy::configure), under names of the policy's own.

mod bucket;
mod cell;
mod gate;
mod key;
mod kv;
mod status;
mod window;

use super::nanoseconds;
use crate::bindings::policy::sluice::gateway::state as wit;

pub use bucket::{Bucket, BucketKind, BucketSpec, Reservation};
pub use cell::Cell;
pub use gate::{Adaptive, AdaptiveKind, Entered, Gate, GateSpec};
pub use key::Key;
pub use kv::Kv;
pub use status::{Forced, forced, publish};
pub use window::{Totals, Window, WindowSpec};
