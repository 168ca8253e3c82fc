//! Which of several targets comes next: the arithmetic of balancing, without the state it works on.
//!
//! [`Cycle`] is weighted round robin, [`rendezvous`] and [`Maglev`] are hashes of the client, [`rebalance`] moves weights
//! away from targets that fail more than others, and [`load`] compares targets by what they have to do.

mod cycle;
mod hash;
pub mod load;
mod maglev;
mod rebalance;

pub use cycle::Cycle;
pub use hash::{fnv1, fnv1a, rendezvous};
pub use maglev::Maglev;
pub use rebalance::rebalance;
