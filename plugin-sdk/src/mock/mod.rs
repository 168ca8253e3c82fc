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
//!         let bucket = Bucket::open("rate", BucketSpec { average: 1, period_ns: 60_000_000_000, burst: 1 })?;
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
pub(crate) mod imports;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::Duration;

use crate::log::Level;
use crate::policy::{Field, Fields, Hooks, Outcome, Policy, Subscription, Uses, Verdict};
use bucket::BucketSet;
use exchange::Exchange;

/// Everything the mock knows.
#[derive(Default)]
struct World {
    now_ns: u64,
    in_hook: bool,
    buckets: Vec<(String, BucketSet)>,
    exchange: Exchange,
    log: Vec<(Level, String)>,
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
        WORLD.set(World::default());
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
    pub fn forget_exchange(&self) {
        WORLD.with_borrow_mut(|world| world.exchange = Exchange::default());
    }

    /// What the plugin wrote into the log.
    #[must_use]
    pub fn logged(&self) -> Vec<(Level, String)> {
        WORLD.with_borrow(|world| world.log.clone())
    }

    /// Configures a policy with settings as JSON, as the gateway does.
    ///
    /// # Errors
    /// What the operator would read.
    pub fn configure<P: Policy>(&self, settings: &str) -> Result<Use<P>, String> {
        let mut uses = Uses::new();
        let subscription = uses.configure(0, settings)?;
        Ok(Use { uses, subscription })
    }
}

/// A configured use of a policy. Hooks that are not subscribed are not called, here as in the gateway.
pub struct Use<P> {
    uses: Uses<P>,
    subscription: Subscription,
}

impl<P: Policy> Use<P> {
    /// What the policy subscribed to.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Other settings for the same use. Its state stays.
    ///
    /// # Errors
    /// What the operator would read; the old settings stay in use.
    pub fn reconfigure(&mut self, settings: &str) -> Result<(), String> {
        self.subscription = self.uses.configure(0, settings)?;
        Ok(())
    }

    /// Lets the policy see the exchange's request.
    pub fn request(&mut self) -> Verdict {
        if !self.subscription.hooks.has(Hooks::ON_REQUEST) {
            return Verdict::next();
        }
        let fields = WORLD.with_borrow(|world| {
            self.subscription.request_fields.iter().map(|field| world.exchange.request(field)).collect::<Vec<_>>()
        });
        in_hook(|| self.uses.on_request(0, Fields::from(fields)))
    }

    /// Lets the policy see the exchange's response.
    pub fn response(&mut self, context: u64, status: u16) -> Verdict {
        if !self.subscription.hooks.has(Hooks::ON_RESPONSE) {
            return Verdict::next();
        }
        let headers = WORLD.with_borrow(|world| {
            self.subscription.response_headers.iter().map(|name| world.exchange.response(name)).collect::<Vec<_>>()
        });
        in_hook(|| self.uses.on_response(0, context, status, Fields::from(headers)))
    }

    /// Ends the exchange.
    pub fn complete(&mut self, context: u64, outcome: Outcome) {
        if self.subscription.hooks.has(Hooks::ON_COMPLETE) {
            in_hook(|| self.uses.on_complete(0, context, outcome));
        }
    }
}

fn in_hook<T>(hook: impl FnOnce() -> T) -> T {
    WORLD.with_borrow_mut(|world| world.in_hook = true);
    let result = hook();
    WORLD.with_borrow_mut(|world| world.in_hook = false);
    result
}
