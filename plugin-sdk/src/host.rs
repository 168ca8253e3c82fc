//! The host's functions: the component's imports in a guest, the [mock](crate::mock) everywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::policy::sluice::gateway::{clock, exchange, hook, outbound, random, state, system};
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::router::sluice::gateway::log::write as log;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::mock::imports::{clock, exchange, hook, log, outbound, random, state, system};
