//! A configured use of a policy, called as the gateway calls it.

use super::WORLD;
use crate::policy::{BodyVerdict, Ended, Fields, Hooks, Outcome, Policy, Subscription, Uses, Verdict};

/// A configured use of a policy. Hooks that are not subscribed are not called, here as in the gateway.
///
/// ```
/// use std::time::Duration;
/// use sluice_plugin_sdk::mock::{Host, Use};
/// use sluice_plugin_sdk::policy::{BodyVerdict, Field, Fields, Hooks, Outcome, Policy, Subscription, Verdict, exchange};
///
/// /// Notes how many bytes went in and out, and which status came of it.
/// struct Sizes(String);
///
/// impl Policy for Sizes {
///     type Settings = String;
///
///     fn configure(prefix: String) -> Result<(Self, Subscription), String> {
///         let wanted = Subscription::new().on_request([Field::Path]).on_request_body(1024);
///         Ok((Self(prefix), wanted.on_response(["content-type"]).on_response_body(1024).on_complete()))
///     }
///
///     fn on_request_body(&mut self, _: u64, body: Vec<u8>) -> BodyVerdict {
///         exchange::annotate(&self.0, &format!("in {}", body.len()));
///         BodyVerdict::Keep
///     }
///
///     fn on_response(&mut self, _: u64, _: u16, headers: Fields) -> Verdict {
///         exchange::annotate(&self.0, headers.get(0).unwrap_or("unknown"));
///         Verdict::next()
///     }
///
///     fn on_response_body(&mut self, _: u64, _: u16, body: Vec<u8>) -> BodyVerdict {
///         exchange::annotate(&self.0, &format!("out {}", body.len()));
///         BodyVerdict::Keep
///     }
///
///     fn on_complete(&mut self, _: u64, outcome: Outcome) {
///         exchange::annotate(&self.0, &format!("status {}", outcome.status));
///     }
/// }
///
/// let host = Host::new();
/// let mut sizes: Use<Sizes> = host.configure(r#""a""#).unwrap();
/// assert!(sizes.subscription().hooks.has(Hooks::REQUEST_BODY | Hooks::RESPONSE_BODY));
/// host.set_response_header("content-type", "text/plain");
///
/// assert_eq!(sizes.request(), Verdict::next());
/// sizes.request_body(0, b"four");
/// sizes.response(0, 200);
/// sizes.reconfigure(r#""b""#).unwrap();
/// sizes.response_body(0, 200, b"hello");
/// let noted = host.annotations();
/// let noted: Vec<_> = noted.iter().map(|(key, value)| format!("{key}: {value}")).collect();
/// assert_eq!(noted, ["a: in 4", "a: text/plain", "b: out 5"]);
/// // There is no exchange to note anything with once it is over.
/// sizes.complete(0, Outcome::new(200, Duration::from_millis(2)));
/// ```
pub struct Use<P> {
    uses: Uses<P>,
    subscription: Subscription,
}

impl<P: Policy> Use<P> {
    pub(super) fn configure(settings: &str) -> Result<Self, String> {
        let mut uses = Uses::new();
        let subscription = uses.configure(0, settings)?;
        Ok(Self { uses, subscription })
    }

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

    /// Lets the policy see the exchange's request. One that is let pass is under way until [`complete`](Self::complete).
    pub fn request(&mut self) -> Verdict {
        if !self.subscription.hooks.has(Hooks::ON_REQUEST) {
            return Verdict::next();
        }
        let (mark, now_ns, forced) = WORLD.with_borrow_mut(|world| {
            world.subscribed.clone_from(&self.subscription.request_fields);
            world.decided = None;
            let values: Vec<_> = world.subscribed.iter().map(|field| world.exchange.request(field)).collect();
            (Fields::from(values).mark(), world.now_ns, world.forced())
        });
        let context = in_hook(|| self.uses.on_request_lean(0, now_ns, forced, mark));
        WORLD.with_borrow_mut(|world| {
            let verdict = world.decided.take().unwrap_or(Verdict::Next(context));
            let entered = std::mem::take(&mut world.entering);
            match verdict {
                Verdict::Respond(_) => world.leave(entered),
                _ => world.inside.push_back(entered),
            }
            verdict
        })
    }

    /// Lets the policy see the body of the request, if it is not too long for that.
    pub fn request_body(&mut self, context: u64, body: &[u8]) -> BodyVerdict {
        let wanted = self.subscription.hooks.has(Hooks::REQUEST_BODY);
        if !wanted || body.is_empty() || body.len() as u64 > self.subscription.request_body_limit {
            return BodyVerdict::Keep;
        }
        in_hook(|| self.uses.on_request_body(0, context, body.to_vec()))
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

    /// Lets the policy see the body of the response, if it is not too long for that.
    pub fn response_body(&mut self, context: u64, status: u16, body: &[u8]) -> BodyVerdict {
        let wanted = self.subscription.hooks.has(Hooks::RESPONSE_BODY);
        if !wanted || body.is_empty() || body.len() as u64 > self.subscription.response_body_limit {
            return BodyVerdict::Keep;
        }
        in_hook(|| self.uses.on_response_body(0, context, status, body.to_vec()))
    }

    /// Ends the exchange; of several that are under way, the oldest leaves its gates.
    pub fn complete(&mut self, context: u64, outcome: Outcome) {
        if self.subscription.hooks.has(Hooks::ON_COMPLETE) {
            let (now_ns, forced) = WORLD.with_borrow_mut(|world| {
                world.instance.clear();
                world.instance.push_str(&outcome.instance);
                (world.now_ns, world.forced())
            });
            let Outcome { status, failure, duration_ns, upstream_status, request_bytes, .. } = outcome;
            let Outcome { response_bytes, rerouted, grpc_status, .. } = outcome;
            let ended = Ended {
                status,
                failure,
                duration_ns,
                upstream_status,
                request_bytes,
                response_bytes,
                rerouted,
                grpc_status,
            };
            in_hook(|| self.uses.on_complete_lean(0, now_ns, forced, context, ended));
        }
        WORLD.with_borrow_mut(|world| {
            let entered = world.inside.pop_front().unwrap_or_default();
            world.leave(entered);
        });
    }
}

fn in_hook<T>(hook: impl FnOnce() -> T) -> T {
    WORLD.with_borrow_mut(|world| world.in_hook = true);
    let result = hook();
    WORLD.with_borrow_mut(|world| world.in_hook = false);
    result
}
