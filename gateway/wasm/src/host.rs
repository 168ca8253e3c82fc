//! What a policy may ask of its host, as traits the gateway implements. What a host does not have it leaves at the
//! default, which answers as the contract says of what is not there.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::state::{BucketSpec, Entered, GateLease, GateSpec, Observation, Pressure, Reservation, Totals, WindowSpec};
use crate::types::Field;

/// Changes to the exchange that are refused say why, for the plugin's author.
pub type Change = Result<(), String>;

/// The exchange a hook is about. It is lent to the instance for the time of the call.
pub trait ExchangeHost: Send + 'static {
    /// A value of the request.
    fn request_field(&self, field: Field<'_>) -> Option<String>;

    /// Looks at a value of the request where it is.
    fn look(&self, field: &Field<'_>, look: &mut dyn FnMut(Option<&str>)) {
        look(self.request_field(field.clone()).as_deref());
    }

    /// Replaces every value of that request header.
    ///
    /// # Errors
    /// What is wrong with the name or value. The same holds for the others.
    fn set_request_header(&mut self, name: &str, value: &str) -> Change;

    /// Takes every value of that request header away.
    ///
    /// # Errors
    /// The header is not the plugin's to change.
    fn remove_request_header(&mut self, name: &str) -> Change;

    /// Replaces every value of that header in the response the client will get.
    ///
    /// # Errors
    /// The name or value is not acceptable.
    fn set_response_header(&mut self, name: &str, value: &str) -> Change;

    /// Takes every value of that header out of the response the client will get.
    ///
    /// # Errors
    /// The header is not the plugin's to change.
    fn remove_response_header(&mut self, name: &str) -> Change;

    /// Each value of a request header.
    fn request_headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Each value of a request header by itself.
    fn request_header_values(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    /// Whether the request has a body that can be shown.
    fn has_body(&self) -> bool {
        false
    }

    /// The values of a header of the response at hand.
    fn response_header(&self, _name: &str) -> Option<String> {
        None
    }

    /// Adds a value to a request header.
    ///
    /// # Errors
    /// The name or value is not acceptable.
    fn add_request_header(&mut self, name: &str, value: &str) -> Change {
        self.set_request_header(name, value)
    }

    /// Adds a value to a header of the response the client will get.
    ///
    /// # Errors
    /// The name or value is not acceptable.
    fn add_response_header(&mut self, name: &str, value: &str) -> Change {
        self.set_response_header(name, value)
    }

    /// Replaces the path.
    ///
    /// # Errors
    /// It is not one.
    fn set_path(&mut self, _path: &str) -> Change {
        Err("this exchange has no path".to_owned())
    }

    /// Replaces the query.
    ///
    /// # Errors
    /// It is not one.
    fn set_query(&mut self, _query: Option<&str>) -> Change {
        Err("this exchange has no query".to_owned())
    }

    /// Adds to the exchange's line in the access log.
    fn annotate(&mut self, _key: &str, _value: &str) {}

    /// Leaves the instance that answered out for that long.
    fn eject_instance(&mut self, _time: Duration) -> bool {
        false
    }

    /// Keeps a place in a gate until the exchange has ended; answers whether it does. An exchange has room for so many.
    fn hold(&mut self, _lease: Box<dyn GateLease>) -> bool {
        false
    }
}

/// A request of a plugin's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRequest {
    /// `http://HOST[:PORT]`, `https://HOST[:PORT]`, or the name of a service; it was granted.
    pub target: String,
    /// As the plugin wrote it, like the rest.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// For the whole exchange.
    pub timeout: Duration,
    /// How TLS is spoken, by name; as the system believes where there is none.
    pub transport: Option<String>,
}

/// The answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundResponse {
    /// Any there is.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// What waits for an answer. Dropping it gives the request up.
pub type OutboundAnswer = Pin<Box<dyn Future<Output = Result<OutboundResponse, String>> + Send>>;

/// Sends requests of plugins.
pub trait Outbound: Send + Sync {
    /// Sends one. An error is for the plugin, in words.
    fn send(&self, request: OutboundRequest) -> OutboundAnswer;
}

/// The instance an exchange went to.
pub trait AskedInstance: Send + Sync {
    /// `address:port`.
    fn authority(&self) -> &str;
}

/// The instance that answered an exchange which is over.
pub trait Ejector: Send {
    /// Leaves it out for that long.
    fn eject(&self, time: Duration) -> bool;
}

/// The state of one policy, shared by all workers, and the world as it sees it. It outlives instances, artifacts and
/// generations. Handles that were never given out answer as if nothing were kept.
pub trait PolicyState: Send + Sync {
    /// Opens a set of buckets; opening it again changes the limits and keeps the counts. The number is the plugin's
    /// handle to it.
    ///
    /// # Errors
    /// What is wrong, for the operator. The same holds for the others.
    fn open_bucket(&self, name: &str, spec: BucketSpec) -> Result<u32, String>;

    /// Takes tokens. A bucket that was never opened refuses.
    fn reserve(&self, bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation;

    /// Gives tokens back.
    fn refund(&self, bucket: u32, key: &str, cost: u32);

    /// Opens a set of windows.
    ///
    /// # Errors
    /// As `open_bucket`.
    fn open_window(&self, name: &str, _spec: WindowSpec) -> Result<u32, String> {
        Err(format!("there are no windows here to open `{name}`"))
    }

    /// Counts an exchange.
    fn observe(&self, _window: u32, _key: &str, _seen: Observation) {}

    /// What a window holds.
    fn totals(&self, _window: u32, _key: &str) -> Totals {
        Totals::default()
    }

    /// Codes from one up to and not including another.
    fn count_codes(&self, _window: u32, _key: &str, _from: u16, _to: u16) -> u64 {
        0
    }

    /// In milliseconds.
    fn latency_quantile_ms(&self, _window: u32, _key: &str, _quantile: f64) -> u64 {
        0
    }

    /// Forgets a key's counts.
    fn forget(&self, _window: u32, _key: &str) {}

    /// Opens a set of gates.
    ///
    /// # Errors
    /// As `open_bucket`.
    fn open_gate(&self, name: &str, _spec: GateSpec) -> Result<u32, String> {
        Err(format!("there are no gates here to open `{name}`"))
    }

    /// Lets an exchange in.
    fn enter(&self, _gate: u32, _key: &str, _priority: u8) -> Entered {
        Entered { lease: None, in_flight: 0, limit: 0 }
    }

    /// Changes the limit.
    fn set_limit(&self, _gate: u32, _limit: u32) {}

    /// Opens a set of numbers.
    ///
    /// # Errors
    /// As `open_bucket`.
    fn open_cell(&self, name: &str) -> Result<u32, String> {
        Err(format!("there are no cells here to open `{name}`"))
    }

    /// A number.
    fn load(&self, _cell: u32, _key: &str) -> u64 {
        0
    }

    /// Stores a number where another is.
    ///
    /// # Errors
    /// What is there.
    fn swap_if(&self, _cell: u32, _key: &str, _expected: u64, _new: u64) -> Result<(), u64> {
        Err(0)
    }

    /// Adds to a number.
    fn add(&self, _cell: u32, _key: &str, _delta: i64) -> u64 {
        0
    }

    /// Bytes under a key.
    fn kv_get(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    /// Keeps bytes, for so long where that is not 0.
    ///
    /// # Errors
    /// There is no room.
    fn kv_set(&self, _key: &str, _value: Vec<u8>, _ttl_ns: u64) -> Result<(), String> {
        Err("there is no room here".to_owned())
    }

    /// Forgets bytes.
    fn kv_delete(&self, _key: &str) {}

    /// Shows a status to the operator.
    fn publish(&self, _status: String) {}

    /// What the operator forced.
    fn forced(&self) -> Option<&'static str> {
        None
    }

    /// Nanoseconds since some moment.
    fn now_ns(&self) -> u64 {
        0
    }

    /// Milliseconds since 1970.
    fn wall_ms(&self) -> u64 {
        0
    }

    /// How busy the machine is.
    fn pressure(&self) -> Pressure {
        Pressure::default()
    }
}

/// Stands for the gateway's exchange where a component is only checked.
pub(crate) enum NoExchange {}

impl ExchangeHost for NoExchange {
    fn request_field(&self, _: Field<'_>) -> Option<String> {
        match *self {}
    }

    fn set_request_header(&mut self, _: &str, _: &str) -> Change {
        match *self {}
    }

    fn remove_request_header(&mut self, _: &str) -> Change {
        match *self {}
    }

    fn set_response_header(&mut self, _: &str, _: &str) -> Change {
        match *self {}
    }

    fn remove_response_header(&mut self, _: &str) -> Change {
        match *self {}
    }
}
