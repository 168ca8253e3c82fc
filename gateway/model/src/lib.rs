//! The nouns of Sluice and the pure functions over them: what providers say ([`catalog`]), what a router plugin makes
//! of it ([`contribution`]), and how contributions become something a request can be matched against.
//!
//! No I/O, no clock, no async, no serde: everything here can be tested, fuzzed and measured alone.

pub mod catalog;
pub mod contribution;

pub use catalog::{Catalog, CatalogInstance, CatalogService, Health};
pub use contribution::{
    Action, Contribution, Diagnostic, Occurrence, PathView, RouteSpec, RuleNode, RuleSpec, Scheme,
    ServiceSpec, Severity, StepSpec, Target, Transport,
};
