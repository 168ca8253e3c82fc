//! Saying what becomes of an exchange.

use std::time::Duration;

use crate::policy::{Header, Pause, Reply, Verdict};

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
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self::Delay(Pause { nanoseconds, context: 0 })
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
