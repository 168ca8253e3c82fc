//! The sandbox: plugins in, verdicts and contributions out.
//!
//! An [`Engine`] compiles; an [`Artifact`] is one plugin version, checked and linked before anything of it runs; a
//! [`RouterInstance`], or a [`PolicyInstance`] made of a [`PolicyPre`], is a live copy of it, for one thread at a time. Every call has a deadline
//! and a memory cap. After any [`CallError`] the instance is spent and its owner makes a new one.
//!
//! What a guest may ask of the host is a trait here ([`ExchangeHost`], [`PolicyState`], [`PluginLog`]); the gateway
//! implements them. Nothing here knows HTTP, Consul or generations, and no WIT type leaves this crate.

mod artifact;
mod bindings;
mod convert;
mod encode;
mod engine;
mod error;
mod grants;
mod host;
mod inspect;
mod instance;
mod limits;
mod log;
mod metadata;
mod policy;
mod router;
mod state;
mod types;
mod wasi;

pub use artifact::{Artifact, digest};
pub use engine::Engine;
pub use error::{CallError, EngineError, LoadError, Place};
pub use grants::Grants;
pub use host::{
    AskedInstance, Change, Ejector, ExchangeHost, Outbound, OutboundAnswer, OutboundRequest, OutboundResponse,
    PolicyState,
};
pub use inspect::World;
pub use limits::Limits;
pub use log::{Level, PluginLog};
pub use policy::{PolicyInstance, PolicyPre};
pub use router::RouterInstance;
pub use state::{
    Adaptive, AdaptiveKind, BucketKind, BucketSpec, Entered, GateLease, GateSpec, Observation, Pressure, Reservation,
    Totals, WindowSpec,
};
pub use types::{BodyVerdict, Failure, Field, Outcome, Reply, Reroute, Subscription, Verdict};
