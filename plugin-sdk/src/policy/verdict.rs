//! Saying what becomes of an exchange.

use std::time::Duration;

use crate::policy::{BodyVerdict, Header, Pause, Reply, Reroute, Verdict, nanoseconds};

impl Verdict {
    /// Go on, with nothing to remember for later hooks.
    #[must_use]
    pub fn next() -> Self {
        Self::Next(0)
    }

    /// Go on after waiting, with nothing to remember. The host waits a minute at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::{Pause, Verdict};
    ///
    /// let verdict = Verdict::delay(Duration::from_millis(3));
    /// assert_eq!(verdict, Verdict::Delay(Pause { nanoseconds: 3_000_000, context: 0 }));
    /// ```
    #[must_use]
    pub fn delay(time: Duration) -> Self {
        Self::Delay(Pause { nanoseconds: nanoseconds(time), context: 0 })
    }

    /// Go on to another service, or get the answer from there; [`Reroute::to`] has more to set.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::{Reroute, Verdict};
    ///
    /// let page = Reroute::to("error-pages").with_request("GET", "/500.html").with_status(503);
    /// assert_eq!(page.path.as_deref(), Some("/500.html"));
    /// assert_eq!(Verdict::reroute("spare"), Verdict::Reroute(Reroute::to("spare")));
    /// ```
    #[must_use]
    pub fn reroute(service: impl Into<String>) -> Self {
        Self::Reroute(Reroute::to(service))
    }

    /// Discard the answer and send the request again after waiting. A request with a body can be sent again where it was
    /// read to its end: for `on_request_body`, up to what was declared, or by a step that buffers it. Otherwise this is
    /// the same as `next`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::{Pause, Verdict};
    ///
    /// let verdict = Verdict::retry(Duration::from_millis(50));
    /// assert_eq!(verdict, Verdict::Retry(Pause { nanoseconds: 50_000_000, context: 0 }));
    /// ```
    #[must_use]
    pub fn retry(wait: Duration) -> Self {
        Self::Retry(Pause { nanoseconds: nanoseconds(wait), context: 0 })
    }
}

impl Reroute {
    /// To a service, by the name that routes use; otherwise the request as it is.
    #[must_use]
    pub fn to(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            path: None,
            method: None,
            status: None,
            headers: Vec::new(),
            timeout_ns: 0,
            context: 0,
        }
    }

    /// Another request, without a body.
    #[must_use]
    pub fn with_request(self, method: impl Into<String>, path: impl Into<String>) -> Self {
        Self { method: Some(method.into()), path: Some(path.into()), ..self }
    }

    /// The status the client gets, where an answer is discarded for this one.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// How long that service may take until its answer begins; after that, 504 takes its place.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::Reroute;
    ///
    /// let hurried = Reroute::to("spare").with_timeout(Duration::from_millis(200));
    /// assert_eq!(hurried.timeout_ns, 200_000_000);
    /// ```
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout_ns: nanoseconds(timeout), ..self }
    }

    /// One more header of the answer.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }
}

impl BodyVerdict {
    /// Put these bytes in its place.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::BodyVerdict;
    ///
    /// assert_eq!(BodyVerdict::replace("masked"), BodyVerdict::Replace(b"masked".to_vec()));
    /// ```
    #[must_use]
    pub fn replace(body: impl Into<Vec<u8>>) -> Self {
        Self::Replace(body.into())
    }
}

impl Reply {
    /// A plain text answer.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Reply;
    ///
    /// let reply = Reply::text(429, "slow down").with_header("Retry-After", "1");
    /// assert_eq!(reply.status, 429);
    /// assert_eq!(reply.headers[0].value, "text/plain; charset=utf-8");
    /// assert_eq!(reply.headers[1].name, "Retry-After");
    /// ```
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let reply = Self { status, headers: Vec::new(), body: body.into().into_bytes() };
        reply.with_header("Content-Type", "text/plain; charset=utf-8")
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }
}
