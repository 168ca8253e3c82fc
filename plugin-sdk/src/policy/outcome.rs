//! How exchanges end.

use std::cell::OnceCell;
use std::ops::Deref;
use std::time::Duration;

use super::{Failure, nanoseconds};
use crate::bindings::policy::sluice::gateway::policy_types as wit;
use crate::host;

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status the client got; 499 when it went away before one was sent.
    pub status: u16,
    /// Why no usable answer came from upstream.
    pub failure: Option<Failure>,
    /// From the request's arrival to the end of the response.
    pub duration_ns: u64,
    /// The instance that was asked last.
    pub instance: AskedInstance,
    /// What the instance answered, where it did.
    pub upstream_status: Option<u16>,
    /// Of the request's body.
    pub request_bytes: u64,
    /// Of the response's body.
    pub response_bytes: u64,
    /// Whether a policy sent the exchange to another service.
    pub rerouted: bool,
    /// What the instance's answer to a gRPC call says, in its head or its trailers.
    pub grpc_status: Option<u32>,
}

/// `address:port` of an instance, empty where there was none: a text that comes from the host when it is looked at.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::policy::{AskedInstance, Outcome};
///
/// let outcome = Outcome { instance: AskedInstance::from("10.0.0.1:80"), ..Outcome::new(200, Duration::ZERO) };
/// assert!(outcome.instance.starts_with("10.0.0.1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedInstance(OnceCell<String>);

impl AskedInstance {
    /// That of the hook at hand.
    pub(super) fn of_hook() -> Self {
        Self(OnceCell::new())
    }
}

impl Deref for AskedInstance {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.get_or_init(host::hook::instance)
    }
}

impl From<String> for AskedInstance {
    fn from(authority: String) -> Self {
        Self(OnceCell::from(authority))
    }
}

impl From<&str> for AskedInstance {
    fn from(authority: &str) -> Self {
        Self::from(authority.to_owned())
    }
}

impl Outcome {
    /// An exchange that was answered with `status` after `duration`, and nothing more: for tests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::{Failure, Outcome};
    ///
    /// let failed = Outcome { failure: Some(Failure::Connect), ..Outcome::new(502, Duration::from_millis(3)) };
    /// assert_eq!(failed.duration(), Duration::from_millis(3));
    /// ```
    #[must_use]
    pub fn new(status: u16, duration: Duration) -> Self {
        Self {
            status,
            failure: None,
            duration_ns: nanoseconds(duration),
            instance: AskedInstance::from(""),
            upstream_status: None,
            request_bytes: 0,
            response_bytes: 0,
            rerouted: false,
            grpc_status: None,
        }
    }

    /// From the request's arrival to the end of the response.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }
}

impl From<wit::Outcome> for Outcome {
    fn from(outcome: wit::Outcome) -> Self {
        Self {
            status: outcome.status,
            failure: outcome.failure,
            duration_ns: outcome.duration_ns,
            instance: outcome.instance.into(),
            upstream_status: outcome.upstream_status,
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            rerouted: outcome.rerouted,
            grpc_status: outcome.grpc_status,
        }
    }
}
