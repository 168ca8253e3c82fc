//! The nouns of Sluice and the pure functions over them: what providers say ([`catalog`]), what a router plugin makes
//! of it ([`contribution`], [`action`]), and how contributions become something a request can be matched against
//! ([`link`], [`rule`], [`table`], [`balance`], [`path`], [`retry`], and [`tcp`] for whole connections).
//!
//! No I/O, no clock, no async, no serde: everything here can be tested, fuzzed and measured alone.

pub mod action;
pub mod balance;
pub mod catalog;
pub mod contribution;
mod explain;
mod keys;
pub mod link;
pub mod path;
pub mod retry;
pub mod rule;
pub mod service;
mod shards;
pub mod table;
pub mod tcp;

pub use action::Action;
pub use catalog::{Catalog, CatalogInstance, CatalogService, Health};
pub use contribution::{
    Contribution, Diagnostic, Observability, Occurrence, PathView, RouteSpec, RuleNode, RuleSpec, Scheme, Severity,
    StepSpec, Transport,
};
pub use explain::Mismatch;
pub use keys::HostKey;
pub use service::{Balancer, ServiceKind, ServiceSpec, Target};
pub use shards::Shards;
