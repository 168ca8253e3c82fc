//! Saying which hooks a policy wants, and with which values.

use crate::policy::{Field, Hooks, Subscription};

impl Subscription {
    /// No hooks: the policy does nothing, at no cost.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::{Field, Hooks, Subscription};
    ///
    /// let wanted = Subscription::new().on_request([Field::ClientIp]).on_complete();
    /// assert_eq!(wanted.hooks, Hooks::ON_REQUEST | Hooks::ON_COMPLETE);
    /// assert_eq!(wanted.request_fields, [Field::ClientIp]);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            hooks: Hooks::empty(),
            request_fields: Vec::new(),
            response_headers: Vec::new(),
            request_body_limit: 0,
            request_body_status: 0,
            response_body_limit: 0,
        }
    }

    /// Wants `on_request`, with these fields.
    #[must_use]
    pub fn on_request(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.hooks = self.hooks | Hooks::ON_REQUEST;
        self.request_fields.extend(fields);
        self
    }

    /// Wants `on_response`, with these headers of the response.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::{Hooks, Subscription};
    ///
    /// let wanted = Subscription::new().on_response(["content-type"]);
    /// assert!(wanted.hooks.has(Hooks::ON_RESPONSE));
    /// assert_eq!(wanted.response_headers, ["content-type"]);
    /// ```
    #[must_use]
    pub fn on_response<N: Into<String>>(mut self, headers: impl IntoIterator<Item = N>) -> Self {
        self.hooks = self.hooks | Hooks::ON_RESPONSE;
        self.response_headers.extend(headers.into_iter().map(Into::into));
        self
    }

    /// Wants `on_complete`.
    #[must_use]
    pub fn on_complete(mut self) -> Self {
        self.hooks = self.hooks | Hooks::ON_COMPLETE;
        self
    }

    /// Wants `on_request_body`, for bodies of up to `limit` bytes; longer ones are refused with 413.
    #[must_use]
    pub fn on_request_body(mut self, limit: u64) -> Self {
        self.hooks = self.hooks | Hooks::REQUEST_BODY;
        self.request_body_limit = limit;
        self
    }

    /// The same; longer bodies are refused with another status.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Subscription;
    ///
    /// let wanted = Subscription::new().on_request_body(1024).refuse_longer_with(401);
    /// assert_eq!((wanted.request_body_limit, wanted.request_body_status), (1024, 401));
    /// ```
    #[must_use]
    pub fn refuse_longer_with(self, status: u16) -> Self {
        Self { request_body_status: status, ..self }
    }

    /// Wants `on_response_body`, for bodies of up to `limit` bytes; longer ones go on untouched.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Subscription;
    ///
    /// assert_eq!(Subscription::new().on_response_body(1024).response_body_limit, 1024);
    /// ```
    #[must_use]
    pub fn on_response_body(mut self, limit: u64) -> Self {
        self.hooks = self.hooks | Hooks::RESPONSE_BODY;
        self.response_body_limit = limit;
        self
    }
}

impl Default for Subscription {
    fn default() -> Self {
        Self::new()
    }
}

impl Hooks {
    /// Whether all of `other` are in `self`.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Hooks;
    ///
    /// let both = Hooks::ON_REQUEST | Hooks::ON_COMPLETE;
    /// assert!(both.has(Hooks::ON_COMPLETE) && !Hooks::ON_REQUEST.has(both));
    /// ```
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self & other == other
    }
}
