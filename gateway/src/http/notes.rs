//! What policies leave with an exchange. There is nothing of it, and no memory for it, until one does.

use std::cell::OnceCell;
use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sluice_wasm::{Ejector, GateLease};

use super::held::Held;

/// Words for the access log that one exchange may have.
const MOST_ANNOTATIONS: usize = 8;
/// Places in gates that one exchange may have.
const MOST_LEASES: usize = 64;

/// A change policies want made to the response's headers.
#[derive(Clone, Debug)]
pub enum HeaderEdit {
    /// Replaces every value.
    Set(HeaderName, HeaderValue),
    /// Adds a value.
    Add(HeaderName, HeaderValue),
    /// Takes every value away.
    Remove(HeaderName),
}

/// What policies leave with an exchange.
#[derive(Debug, Default)]
pub struct Notes {
    /// For the access log, in order.
    pub annotations: Vec<(String, String)>,
    /// Places in gates.
    pub leases: Leases,
    /// Made where a policy asks for it and the client sent none.
    pub request_id: OnceCell<String>,
    /// The headers of the response at hand, while a policy is asked about it.
    pub response: Option<HeaderMap>,
    /// Set once a policy has sent the exchange to another service.
    pub rerouted: bool,
    /// How long that service may take to answer, where the policy says.
    pub patience: Option<Duration>,
    /// What the client gets in place of the next answer's own status.
    pub status: Option<StatusCode>,
    /// The instance that answered, while a policy that leaves instances out is asked.
    pub ejector: Option<Answering>,
    /// The request's body, where it is kept to be sent again.
    pub body: Option<Held>,
    /// Instances that a second sending leaves out if it can.
    pub tried: Vec<u32>,
}

/// The instance that answered.
pub struct Answering(pub Box<dyn Ejector>);

impl fmt::Debug for Answering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an instance")
    }
}

/// Places in gates, given back when this is dropped.
#[derive(Default)]
pub struct Leases(Vec<Box<dyn GateLease>>);

impl Notes {
    /// Keeps words for the access log, as many as one exchange may have.
    pub fn annotate(&mut self, key: &str, value: &str) {
        if self.annotations.len() < MOST_ANNOTATIONS {
            self.annotations.push((key.to_owned(), value.to_owned()));
        }
    }
}

impl Leases {
    /// Keeps a place, if there is room for it.
    pub fn hold(&mut self, lease: Box<dyn GateLease>) -> bool {
        let fits = self.0.len() < MOST_LEASES;
        if fits {
            self.0.push(lease);
        }
        fits
    }

    /// The exchange has ended by itself.
    pub fn finish(self, overloaded: bool) {
        for lease in self.0 {
            lease.finish(overloaded);
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} leases", self.0.len())
    }
}
