//! What state is kept under.

/// What state is kept under: a text, or a value of the request, which costs less.
///
/// ```
/// use sluice_plugin_sdk::mock::Host;
/// use sluice_plugin_sdk::policy::state::{Gate, GateSpec, Key};
/// use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict};
///
/// struct OneEach(Gate);
///
/// impl Policy for OneEach {
///     type Settings = ();
///
///     fn configure((): ()) -> Result<(Self, Subscription), String> {
///         Ok((Self(Gate::open("one", &GateSpec::fixed(1))?), Subscription::new().on_request([Field::ClientIp])))
///     }
///
///     fn on_request(&mut self, _: Fields) -> Verdict {
///         match self.0.enter(Key::Field(0), 0).granted {
///             true => Verdict::next(),
///             false => Verdict::Respond(Reply::text(429, "one at a time")),
///         }
///     }
/// }
///
/// let host = Host::new();
/// let mut policy = host.configure::<OneEach>("null").unwrap();
/// host.set_request(Field::ClientIp, "10.0.0.1");
/// assert_eq!(policy.request(), Verdict::next());
/// assert!(matches!(policy.request(), Verdict::Respond(_)));
/// host.set_request(Field::ClientIp, "10.0.0.2");
/// assert_eq!(policy.request(), Verdict::next());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Any text.
    Text(&'a str),
    /// The value of that field of the subscription, empty where it is absent. Only in
    /// [`on_request`](crate::policy::Policy::on_request).
    Field(u32),
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Key<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}
