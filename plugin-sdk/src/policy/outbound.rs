//! Requests of the plugin's own, to targets the operator granted: `grants = ["outbound:TARGET"]`.
//!
//! A plugin that uses this waits: the host suspends its calls meanwhile and has several instances of it in each worker.

use std::time::Duration;

use crate::host;
use crate::policy::{Header, nanoseconds};

pub use crate::bindings::policy::sluice::gateway::outbound::{Request, Response};

impl Request {
    /// A GET without headers that may take five seconds.
    #[must_use]
    pub fn get(target: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            method: "GET".to_owned(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ns: 5_000_000_000,
            transport: None,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// The same with another method and a body.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::outbound::Request;
    ///
    /// let request = Request::get("audit", "/events").with_body("POST", "{}");
    /// assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"{}"[..]));
    /// ```
    #[must_use]
    pub fn with_body(self, method: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { method: method.into(), body: body.into(), ..self }
    }

    /// The same with another time for the whole exchange.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout_ns: nanoseconds(timeout), ..self }
    }

    /// The same over TLS as a `[transports.NAME]` of the gateway's configuration says.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::outbound::Request;
    ///
    /// let request = Request::get("https://audit.internal", "/").with_transport("internal");
    /// assert_eq!(request.transport.as_deref(), Some("internal"));
    /// ```
    #[must_use]
    pub fn with_transport(self, name: impl Into<String>) -> Self {
        Self { transport: Some(name.into()), ..self }
    }
}

impl Response {
    /// The first value of a header.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Header;
    /// use sluice_plugin_sdk::policy::outbound::Response;
    ///
    /// let user = Header { name: "X-User".to_owned(), value: "ada".to_owned() };
    /// let answer = Response { status: 200, headers: vec![user], body: vec![] };
    /// assert_eq!(answer.header("x-user"), Some("ada"));
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.as_str())
    }
}

/// Sends a request and waits for the answer.
///
/// ```
/// use sluice_plugin_sdk::policy::outbound::{self, Request, Response};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// host.on_outbound(|request| match request.path.as_str() {
///     "/verify" => Ok(Response { status: 204, headers: vec![], body: vec![] }),
///     _ => Err("connection refused".to_owned()),
/// });
/// assert_eq!(outbound::send(&Request::get("auth-service", "/verify")).unwrap().status, 204);
/// assert_eq!(host.outbound_requests().len(), 1);
/// ```
///
/// # Errors
/// No grant, no answer, or one too long; in words.
pub fn send(request: &Request) -> Result<Response, String> {
    host::outbound::send(request)
}
