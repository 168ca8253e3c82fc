//! What outlives generations: token buckets of policies, and what is known of instances.
//!
//! Takes names and keys, gives shared state; a generation holds what it uses by `Arc`, and what no generation holds any
//! more is swept after a grace. Nothing here knows routes, plugins or requests.

pub mod buckets;
pub mod clock;
pub mod instances;
pub mod registry;
mod sandbox;

pub use buckets::{BucketSpec, Buckets, Reservation, SpecError};
pub use clock::{Clock, SystemClock};
pub use instances::{InFlight, InstanceKey, InstanceState, Instances};
pub use registry::{BucketSnapshot, OpenError, PolicyState, Recording, Registry};
