//! What the default policies share: values as tags carry them, who a request comes from, which addresses are meant.
//!
//! Nothing here decides anything about an exchange.

pub mod claim;
pub mod duration;
pub mod expression;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod grpc;
pub mod ip;
pub mod schema;
pub mod source;
pub mod status;
pub mod template;
pub mod values;
