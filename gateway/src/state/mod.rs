//! What outlives generations: what policies keep, what is known of services, instances and their health, and who is
//! connected.
//!
//! Takes names and keys, gives shared state; a generation holds what it uses by `Arc`, and what no generation holds any
//! more is swept after a grace. Nothing here knows routes, plugins or requests.

mod adaptive;
pub mod buckets;
mod cells;
pub mod checks;
pub mod clock;
mod connections;
mod counted;
mod gates;
pub mod instances;
mod keyed;
mod kv;
mod limits;
mod machine;
pub mod overload;
pub mod queue;
pub mod registry;
mod rests;
pub mod retries;
mod sandbox;
pub mod services;
mod windows;

pub use buckets::{BucketKind, BucketSpec, Buckets, Reservation, SpecError};
pub use checks::{CheckKey, CheckState, Checks};
pub use clock::{Clock, SystemClock};
pub use connections::{AllConnectionCounts, ConnectionCounts, CountedConnection};
pub use instances::{InFlight, InstanceKey, InstanceState, Instances};
pub use machine::{give_memory_back, note_loop_lag};
pub use overload::{Overload, Shares, Shortage};
pub use queue::{Place, Queue};
pub use registry::{BucketSnapshot, Forced, GateSnapshot, OpenError, PolicyState, Recording, Registry, Snapshot};
pub use rests::Rests;
pub use retries::{RetryBudget, RetryPermit};
pub use services::{ServiceState, Services, TargetState};
