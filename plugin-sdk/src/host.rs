//! The host's functions: the component's imports in a guest, the [mock](crate::mock) everywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) use guest::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::mock::imports::*;

#[cfg(target_arch = "wasm32")]
mod guest {
    use crate::bindings::policy::sluice::gateway::{exchange, state};
    use crate::bindings::router::sluice::gateway::log;

    pub(crate) use exchange::{
        remove_request_header, remove_response_header, request_field, set_request_header, set_response_header,
    };
    pub(crate) use log::write as log;
    pub(crate) use state::{open_bucket, refund, reserve};
}
