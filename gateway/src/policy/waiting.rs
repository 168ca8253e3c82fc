//! Plugins that wait for requests of their own: several instances of each version in a worker, because one that waits
//! cannot be entered again.

use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sluice_wasm::{BodyVerdict, CallError, Outcome};
use tokio::sync::Semaphore;

use super::instances::{AskError, Instances, Sandbox, Slot, bill, may_call};
use super::{BodyDecision, Decision, Passed, decide, decide_body, fields};
use crate::http::Exchange;
use crate::live::{Isolation, Plugin, PolicyUse};

/// Instances of one version in one worker.
const MOST_INSTANCES: usize = 16;
/// How long an exchange waits for one of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The instances of one version.
pub(super) struct Waiting {
    plugin: Weak<Plugin>,
    idle: Vec<Slot>,
    places: Rc<Semaphore>,
}

impl Waiting {
    /// Answers whether the version is still in use.
    pub(super) fn sweep(&mut self) -> bool {
        self.idle.retain_mut(Slot::sweep);
        self.plugin.strong_count() > 0
    }
}

/// The hooks of plugins that wait. An exchange that is given up takes the instance with it.
impl Instances {
    /// As `on_request`.
    pub async fn on_request_waiting(
        &self,
        policy: &Arc<PolicyUse>,
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Decision) {
        let fields = fields::of_request(&policy.subscription.request_fields, &mut exchange);
        let asked = self.call_waiting(policy, "on-request", exchange, async |sandbox: &mut Sandbox, exchange| {
            let values = fields.values();
            sandbox.on_request_waiting(policy.handle, exchange, &values).await
        });
        let (exchange, verdict) = asked.await;
        (exchange, decide(policy, verdict))
    }

    /// As `on_response`.
    pub async fn on_response_waiting(
        &self,
        passed: &Passed,
        mut exchange: Box<Exchange>,
        head: &hyper::http::response::Parts,
    ) -> (Box<Exchange>, Decision) {
        let policy = &passed.policy;
        if policy.plugin.reads_response {
            exchange.notes().response = Some(head.headers.clone());
        }
        let fields = fields::of_response(&policy.subscription.response_headers, &head.headers);
        let status = head.status.as_u16();
        let asked = self.call_waiting(policy, "on-response", exchange, async |sandbox: &mut Sandbox, exchange| {
            let values = fields.values();
            sandbox.on_response_waiting(policy.handle, exchange, passed.context, status, &values).await
        });
        let (exchange, verdict) = asked.await;
        (exchange, decide(policy, verdict))
    }

    /// As `on_body`.
    pub async fn on_body_waiting(
        &self,
        passed: &Passed,
        exchange: Box<Exchange>,
        answered: Option<u16>,
        body: &[u8],
    ) -> (Box<Exchange>, BodyDecision) {
        let policy = &passed.policy;
        let hook = if answered.is_some() { "on-response-body" } else { "on-request-body" };
        let asked = self.call_waiting(policy, hook, exchange, async |sandbox: &mut Sandbox, exchange| match answered {
            None => sandbox.on_request_body_waiting(policy.handle, exchange, passed.context, body).await,
            Some(status) => {
                sandbox.on_response_body_waiting(policy.handle, exchange, passed.context, status, body).await
            }
        });
        let (exchange, verdict): (_, Result<BodyVerdict, AskError>) = asked.await;
        (exchange, decide_body(policy, verdict))
    }

    /// As `on_complete`.
    pub async fn on_complete_waiting(&self, passed: &Passed, outcome: Outcome<'_>) {
        let policy = &passed.policy;
        let told = self.call_waiting(policy, "on-complete", (), async |sandbox: &mut Sandbox, ()| {
            ((), sandbox.on_complete_waiting(policy.handle, passed.context, outcome, None).await)
        });
        // It is logged and counted already.
        let ((), _told): ((), Result<(), AskError>) = told.await;
    }

    async fn call_waiting<T, R>(
        &self,
        policy: &Arc<PolicyUse>,
        hook: &'static str,
        value: T,
        ask: impl AsyncFnOnce(&mut Sandbox, T) -> (T, Result<R, CallError>),
    ) -> (T, Result<R, AskError>) {
        let begun = Instant::now();
        let places = self.places(&policy.plugin);
        let (value, result) = match tokio::time::timeout(PATIENCE, places.acquire()).await {
            Ok(Ok(_place)) => match self.idle(policy) {
                Ok(mut slot) => {
                    let (value, result) = ask(&mut slot.sandbox, value).await;
                    if !slot.sandbox.is_spent() && policy.plugin.isolation == Isolation::None {
                        self.give_back(&policy.plugin, slot);
                    }
                    (value, result.map_err(AskError::from))
                }
                Err(error) => (value, Err(error)),
            },
            _ => (value, Err(AskError::Busy)),
        };
        bill(policy, hook, begun.elapsed(), result.as_ref().err());
        (value, result)
    }

    fn places(&self, plugin: &Arc<Plugin>) -> Rc<Semaphore> {
        let mut waiting = self.waiting.borrow_mut();
        let version = waiting.entry(plugin.id).or_insert_with(|| Waiting {
            plugin: Arc::downgrade(plugin),
            idle: Vec::new(),
            places: Rc::new(Semaphore::new(MOST_INSTANCES)),
        });
        Rc::clone(&version.places)
    }

    /// An instance that nobody uses, prepared for the policy.
    fn idle(&self, policy: &Arc<PolicyUse>) -> Result<Slot, AskError> {
        may_call(policy, Instant::now())?;
        let known = self.waiting.borrow_mut().get_mut(&policy.plugin.id).and_then(|version| version.idle.pop());
        let mut slot = match known {
            Some(slot) => slot,
            None => {
                let mut slot = Slot::new(&policy.plugin)?;
                if let Some(outbound) = &self.outbound {
                    slot.sandbox.set_outbound(Arc::clone(outbound));
                }
                slot
            }
        };
        slot.prepare(policy)?;
        Ok(slot)
    }

    fn give_back(&self, plugin: &Arc<Plugin>, slot: Slot) {
        if let Some(version) = self.waiting.borrow_mut().get_mut(&plugin.id) {
            version.idle.push(slot);
        }
    }
}
