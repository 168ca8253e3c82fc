//! A host for native tests: state with a clock that only the test moves, one exchange, and the log.
//!
//! Every thread has its own, and [`Host::new`] starts afresh.
//!
//! ```
//! use std::time::Duration;
//! use serde::Deserialize;
//! use sluice_plugin_sdk::mock::Host;
//! use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
//! use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict};
//!
//! struct OncePerMinute(Bucket);
//!
//! #[derive(Deserialize)]
//! struct Settings {}
//!
//! impl Policy for OncePerMinute {
//!     type Settings = Settings;
//!
//!     fn configure(_: Settings) -> Result<(Self, Subscription), String> {
//!         let bucket = Bucket::open("rate", BucketSpec::token_bucket(1, Duration::from_secs(60), 1))?;
//!         Ok((Self(bucket), Subscription::new().on_request([Field::ClientIp])))
//!     }
//!
//!     fn on_request(&mut self, fields: Fields) -> Verdict {
//!         match self.0.reserve(fields.get(0).unwrap_or_default(), 1, Duration::ZERO) {
//!             Reservation::Granted { .. } => Verdict::next(),
//!             Reservation::Refused { .. } => Verdict::Respond(Reply::text(429, "later")),
//!         }
//!     }
//! }
//!
//! let host = Host::new();
//! let mut policy = host.configure::<OncePerMinute>("{}").unwrap();
//! host.set_request(Field::ClientIp, "10.0.0.1");
//! assert_eq!(policy.request(), Verdict::next());
//! assert_eq!(policy.request(), Verdict::Respond(Reply::text(429, "later")));
//! host.advance(Duration::from_secs(60));
//! assert_eq!(policy.request(), Verdict::next());
//! ```

mod bucket;
mod exchange;
mod gate;
pub(crate) mod imports;
mod store;
mod uses;
mod window;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::time::Duration;

use crate::bindings::policy::sluice::gateway::policy_types::Force;
use crate::log::Level;
use crate::policy::outbound::{Request, Response};
use crate::policy::state::Forced;
use crate::policy::system::Pressure;
use crate::policy::{Field, Policy, Verdict};
use bucket::{BucketSet, Now};
use exchange::Exchange;
use gate::GateSet;
use store::Store;
pub use uses::Use;
use window::WindowSet;

/// When a test begins, by the wall clock: the first of January 2026.
const WALL_START_MS: u64 = 1_767_225_600_000;

/// Everything the mock knows. What is open is kept by name, in the order it was opened.
#[derive(Default)]
struct World {
    now_ns: u64,
    in_hook: bool,
    buckets: Vec<(String, BucketSet)>,
    windows: Vec<(String, WindowSet)>,
    gates: Vec<(String, GateSet)>,
    cells: Vec<(String, BTreeMap<String, u64>)>,
    kv: Store,
    published: Option<String>,
    forced: Option<Forced>,
    /// Gates the exchange at hand has entered.
    entering: Vec<(u32, String)>,
    /// The gates of exchanges that are under way, the oldest first.
    inside: VecDeque<Vec<(u32, String)>>,
    exchange: Exchange,
    /// The fields of the use that is called, what it decided other than `next`, and the instance of the exchange.
    subscribed: Vec<Field>,
    decided: Option<Verdict>,
    instance: String,
    may_eject: bool,
    randoms: VecDeque<u64>,
    seed: u64,
    pressure: Pressure,
    outbound: Option<Answer>,
    sent: Vec<Request>,
    log: Vec<(Level, String)>,
}

/// What answers requests of the plugin's own.
type Answer = Box<dyn FnMut(&Request) -> Result<Response, String>>;

impl World {
    fn now(&self) -> Now {
        Now { ns: self.now_ns, wall_ms: WALL_START_MS + self.now_ns / 1_000_000 }
    }

    fn forced(&self) -> Option<Force> {
        self.forced.map(|forced| match forced {
            Forced::Open => Force::Open,
            Forced::Closed => Force::Closed,
            Forced::Disabled => Force::Disabled,
        })
    }

    fn leave(&mut self, gates: Vec<(u32, String)>) {
        for (gate, key) in gates {
            if let Some((_, set)) = self.gates.get_mut(gate as usize) {
                set.leave(&key);
            }
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// The test's side of the host of this thread.
pub struct Host {
    /// It stands for a thread's state, so it stays on its thread.
    not_send: PhantomData<*const ()>,
}

impl Host {
    /// A host with nothing in it, in place of what the thread had.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it resets the thread's host, which no default would be expected to"
    )]
    pub fn new() -> Self {
        WORLD.set(World { may_eject: true, ..World::default() });
        Self { not_send: PhantomData }
    }

    /// Moves the clock.
    pub fn advance(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        WORLD.with_borrow_mut(|world| world.now_ns = world.now_ns.saturating_add(ns));
    }

    /// Gives the exchange a value of the request.
    pub fn set_request(&self, field: Field, value: &str) {
        WORLD.with_borrow_mut(|world| world.exchange.set_request(field, value));
    }

    /// Whether the exchange's request has a body.
    pub fn set_has_body(&self, has_body: bool) {
        WORLD.with_borrow_mut(|world| world.exchange.has_body = has_body);
    }

    /// A value of the request, header changes included.
    #[must_use]
    pub fn request(&self, field: &Field) -> Option<String> {
        WORLD.with_borrow(|world| world.exchange.request(field))
    }

    /// Gives the exchange a response header.
    pub fn set_response_header(&self, name: &str, value: &str) {
        WORLD.with_borrow_mut(|world| world.exchange.set_response(name, value));
    }

    /// A header of the response, changes included.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<String> {
        WORLD.with_borrow(|world| world.exchange.response(name))
    }

    /// A new exchange: nothing of the request or the response is left.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Field;
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// host.set_request(Field::Path, "/cart");
    /// host.forget_exchange();
    /// assert_eq!(host.request(&Field::Path), None);
    /// ```
    pub fn forget_exchange(&self) {
        WORLD.with_borrow_mut(|world| world.exchange = Exchange::default());
    }

    /// What the plugin wrote into the log.
    #[must_use]
    pub fn logged(&self) -> Vec<(Level, String)> {
        WORLD.with_borrow(|world| world.log.clone())
    }

    /// What the policy published last.
    #[must_use]
    pub fn published(&self) -> Option<String> {
        WORLD.with_borrow(|world| world.published.clone())
    }

    /// Forces the policy, as an operator does.
    pub fn force(&self, forced: Option<Forced>) {
        WORLD.with_borrow_mut(|world| world.forced = forced);
    }

    /// Ends every exchange that is under way: they leave the gates they entered.
    pub fn end_exchanges(&self) {
        WORLD.with_borrow_mut(|world| {
            let inside = std::mem::take(&mut world.inside).into_iter().flatten();
            let all = inside.chain(std::mem::take(&mut world.entering)).collect();
            world.leave(all);
        });
    }

    /// Gives a gate another limit, as an adaptive one does by itself in the gateway.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::state::{Gate, GateSpec};
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// let gate = Gate::open("in-flight", &GateSpec::fixed(10)).unwrap();
    /// host.set_gate_limit("in-flight", 0);
    /// assert!(!gate.enter("10.0.0.1", 0).granted);
    /// ```
    pub fn set_gate_limit(&self, name: &str, limit: u32) {
        WORLD.with_borrow_mut(|world| {
            if let Some((_, set)) = world.gates.iter_mut().find(|(known, _)| known == name) {
                set.spec.limit = limit;
            }
        });
    }

    /// The random number that comes next; without one they come from a fixed sequence.
    pub fn next_random(&self, number: u64) {
        WORLD.with_borrow_mut(|world| world.randoms.push_back(number));
    }

    /// How busy the machine is from now on.
    pub fn set_pressure(&self, pressure: Pressure) {
        WORLD.with_borrow_mut(|world| world.pressure = pressure);
    }

    /// Who answers requests of the plugin's own.
    pub fn on_outbound(&self, answer: impl FnMut(&Request) -> Result<Response, String> + 'static) {
        WORLD.with_borrow_mut(|world| world.outbound = Some(Box::new(answer)));
    }

    /// The requests the plugin has sent.
    #[must_use]
    pub fn outbound_requests(&self) -> Vec<Request> {
        WORLD.with_borrow(|world| world.sent.clone())
    }

    /// What the plugin added to the exchange's line in the access log.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::exchange;
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// exchange::annotate("tenant", "gold");
    /// assert_eq!(host.annotations(), [("tenant".to_owned(), "gold".to_owned())]);
    /// ```
    #[must_use]
    pub fn annotations(&self) -> Vec<(String, String)> {
        WORLD.with_borrow(|world| world.exchange.annotations.clone())
    }

    /// For how long the plugin left the exchange's instance out, each time it did.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::exchange;
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// assert!(exchange::eject_instance(Duration::from_secs(30)));
    /// assert_eq!(host.ejections(), [Duration::from_secs(30)]);
    /// ```
    #[must_use]
    pub fn ejections(&self) -> Vec<Duration> {
        WORLD.with_borrow(|world| world.exchange.ejections.clone())
    }

    /// Whether an instance may be left out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluice_plugin_sdk::policy::exchange;
    ///
    /// let host = sluice_plugin_sdk::mock::Host::new();
    /// host.allow_ejection(false);
    /// assert!(!exchange::eject_instance(Duration::from_secs(30)));
    /// ```
    pub fn allow_ejection(&self, allowed: bool) {
        WORLD.with_borrow_mut(|world| world.may_eject = allowed);
    }

    /// Configures a policy with settings as JSON, as the gateway does.
    ///
    /// # Errors
    /// What the operator would read.
    pub fn configure<P: Policy>(&self, settings: &str) -> Result<Use<P>, String> {
        Use::configure(settings)
    }
}
