//! What outlives generations: what policies keep, and what is known of instances.
//!
//! Takes names and keys, gives shared state; a generation holds what it uses by `Arc`, and what no generation holds any
//! more is swept after a grace. Nothing here knows routes, plugins or requests.

mod adaptive;
pub mod buckets;
mod cells;
pub mod clock;
mod counted;
mod gates;
pub mod instances;
mod keyed;
mod kv;
mod limits;
mod machine;
pub mod registry;
mod sandbox;
mod windows;

pub use buckets::{BucketKind, BucketSpec, Buckets, Reservation, SpecError};
pub use clock::{Clock, SystemClock};
pub use instances::{InFlight, InstanceKey, InstanceState, Instances};
pub use machine::note_loop_lag;
pub use registry::{BucketSnapshot, Forced, GateSnapshot, OpenError, PolicyState, Recording, Registry, Snapshot};
