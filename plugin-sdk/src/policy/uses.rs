//! Which use a handle means: what `export_policy!` and the mock share.

use super::at_hand;
use crate::bindings::policy::sluice::gateway::policy_types::Force;
use crate::policy::{AskedInstance, BodyVerdict, Failure, Fields, Outcome, Policy, Subscription, Verdict};
use crate::{host, log, settings};

/// The configured uses of a plugin within one instance of it. Handles are small, so a use is a place in a list.
pub struct Uses<P>(Vec<Option<P>>);

/// An outcome without the instance.
#[expect(missing_docs, reason = "they are those of the outcome")]
pub struct Ended {
    pub status: u16,
    pub failure: Option<Failure>,
    pub duration_ns: u64,
    pub upstream_status: Option<u16>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub rerouted: bool,
    pub grpc_status: Option<u32>,
}

impl<P: Policy> Uses<P> {
    /// No uses yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a use in place, also in place of one of the same handle. That one stays if the settings are refused.
    pub fn configure(&mut self, handle: u32, settings: &str) -> Result<Subscription, String> {
        let (policy, subscription) = P::configure(settings::parse(settings)?)?;
        let place = handle as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(policy);
        }
        Ok(subscription)
    }

    /// Forgets a use.
    pub fn release(&mut self, handle: u32) {
        if let Some(slot) = self.0.get_mut(handle as usize) {
            *slot = None;
        }
    }

    /// Hands the hook to its use.
    pub fn on_request(&mut self, handle: u32, fields: Fields) -> Verdict {
        self.find(handle).map_or_else(Verdict::next, |policy| policy.on_request(fields))
    }

    /// Hands the hook to its use, which asks for what it wants to know. The result is the context of `next`; other verdicts
    /// are told the host.
    pub fn on_request_lean(&mut self, handle: u32, now_ns: u64, forced: Option<Force>, mark: u64) -> u64 {
        at_hand::during(now_ns, forced, || match self.on_request(handle, Fields::of_hook(mark)) {
            Verdict::Next(context) => context,
            verdict => {
                host::hook::decide(&verdict);
                0
            }
        })
    }

    /// Hands the hook to its use.
    pub fn on_response(&mut self, handle: u32, context: u64, status: u16, headers: Fields) -> Verdict {
        self.find(handle).map_or_else(Verdict::next, |policy| policy.on_response(context, status, headers))
    }

    /// Hands the hook to its use.
    pub fn on_request_body(&mut self, handle: u32, context: u64, body: Vec<u8>) -> BodyVerdict {
        self.find(handle).map_or(BodyVerdict::Keep, |policy| policy.on_request_body(context, body))
    }

    /// Hands the hook to its use.
    pub fn on_response_body(&mut self, handle: u32, context: u64, status: u16, body: Vec<u8>) -> BodyVerdict {
        self.find(handle).map_or(BodyVerdict::Keep, |policy| policy.on_response_body(context, status, body))
    }

    /// Hands the hook to its use.
    pub fn on_complete(&mut self, handle: u32, context: u64, outcome: Outcome) {
        if let Some(policy) = self.find(handle) {
            policy.on_complete(context, outcome);
        }
    }

    /// Hands the hook to its use, which asks for the instance if it wants to know it.
    pub fn on_complete_lean(&mut self, handle: u32, now_ns: u64, forced: Option<Force>, context: u64, ended: Ended) {
        let outcome = Outcome {
            status: ended.status,
            failure: ended.failure,
            duration_ns: ended.duration_ns,
            instance: AskedInstance::of_hook(),
            upstream_status: ended.upstream_status,
            request_bytes: ended.request_bytes,
            response_bytes: ended.response_bytes,
            rerouted: ended.rerouted,
            grpc_status: ended.grpc_status,
        };
        at_hand::during(now_ns, forced, || self.on_complete(handle, context, outcome));
    }

    /// The host never calls a handle it has not configured; should it, the exchange must not pay for that mistake.
    fn find(&mut self, handle: u32) -> Option<&mut P> {
        let policy = self.0.get_mut(handle as usize).and_then(Option::as_mut);
        if policy.is_none() {
            log::error("a hook was called for a use that was never configured");
        }
        policy
    }
}

impl<P: Policy> Default for Uses<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::log::Level;
    use crate::mock::Host;
    use crate::policy::{Field, Pause};

    /// Answers with the number it was configured with.
    struct Number(u64);

    impl Policy for Number {
        type Settings = u64;

        fn configure(number: u64) -> Result<(Self, Subscription), String> {
            match number {
                0 => Err("0 is not a number here".to_owned()),
                _ => Ok((Self(number), Subscription::new().on_request([Field::Path]))),
            }
        }

        fn on_request(&mut self, _: Fields) -> Verdict {
            Verdict::Delay(Pause { nanoseconds: self.0, context: 0 })
        }
    }

    fn answer(uses: &mut Uses<Number>, handle: u32) -> Verdict {
        uses.on_request(handle, Fields::default())
    }

    fn number(nanoseconds: u64) -> Verdict {
        Verdict::Delay(Pause { nanoseconds, context: 0 })
    }

    #[test]
    fn each_handle_has_a_use_of_its_own() {
        let mut uses = Uses::new();
        uses.configure(4, "40").unwrap();
        uses.configure(0, "7").unwrap();
        assert_eq!(answer(&mut uses, 4), number(40));
        assert_eq!(answer(&mut uses, 0), number(7));
    }

    #[test]
    fn refused_settings_leave_the_use_as_it_was() {
        let mut uses = Uses::<Number>::new();
        uses.configure(1, "5").unwrap();
        assert_eq!(uses.configure(1, "0").unwrap_err(), "0 is not a number here");
        assert!(uses.configure(1, "{").unwrap_err().starts_with("invalid settings: "));
        assert_eq!(answer(&mut uses, 1), number(5));
    }

    #[test]
    fn a_use_that_is_gone_lets_requests_pass_and_says_so() {
        let host = Host::new();
        let mut uses = Uses::new();
        uses.configure(1, "5").unwrap();
        uses.release(1);
        uses.release(99);
        assert_eq!(answer(&mut uses, 1), Verdict::next());
        assert_eq!(answer(&mut uses, 99), Verdict::next());
        let lines = host.logged();
        assert!(lines.len() == 2 && lines.iter().all(|(level, _)| *level == Level::Error));
    }
}
