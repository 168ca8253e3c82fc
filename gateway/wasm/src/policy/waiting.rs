//! Plugins that wait: their calls run on fibers, which are suspended while a request of theirs is on its way.
//!
//! A suspended instance cannot be entered again, so there are several for each worker, and whoever calls one has it to
//! itself until the call is over. Time spent waiting does not count against the deadline, which is for the guest's own
//! work.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::data::{Now, PolicyData, Waiting};
use super::{Guest, PolicyInstance};
use crate::convert;
use crate::engine::Engine;
use crate::error::CallError;
use crate::host::{Ejector, ExchangeHost, Outbound};
use crate::instance::Guarded;
use crate::types::{BodyVerdict, Outcome, Verdict};

/// Makes an instance one that waits.
pub(super) fn prepare<E: ExchangeHost>(guarded: &mut Guarded<PolicyData<E>>, engine: &Engine) {
    let deadline = guarded.limits().deadline;
    guarded.data().waiting = Some(Waiting {
        engine: engine.clone(),
        outbound: None,
        waited: 0,
        deadline,
        sent: 0,
        waited_for: Duration::ZERO,
    });
    guarded.extend_deadlines(|data| data.waiting.as_mut().map_or(0, |waiting| mem::take(&mut waiting.waited)));
}

/// The result of a call that does not wait.
pub(super) fn at_once<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(CallError::Contract("it waits where nothing can be waited for".to_owned())),
    }
}

/// Calls an export in which the guest may wait.
macro_rules! call {
    ($this:ident, $export:ident($($argument:expr),*)) => {{
        if let Some(waiting) = &mut $this.guarded.data().waiting {
            (waiting.waited, waiting.sent, waiting.waited_for) = (0, 0, Duration::ZERO);
        }
        let deadline = $this.guarded.limits().deadline;
        match &$this.guest {
            Guest::Straight(guest, _) => {
                let plugin = guest.sluice_gateway_policy_plugin();
                $this.guarded.run(deadline, |store| plugin.$export(store, $($argument),*))
            }
            Guest::Waiting(guest) => {
                let plugin = guest.sluice_gateway_policy_plugin();
                $this.guarded.run_waiting(deadline, async |store| plugin.$export(store, $($argument),*).await).await
            }
        }
    }};
}

/// The hooks of a plugin that may wait. Giving a call up drops the exchange with it and spends the instance.
impl<E: ExchangeHost> PolicyInstance<E> {
    /// Who sends the plugin's requests.
    pub fn set_outbound(&mut self, outbound: Arc<dyn Outbound>) {
        if let Some(waiting) = &mut self.guarded.data().waiting {
            waiting.outbound = Some(outbound);
        }
    }

    /// As [`on_request`](Self::on_request).
    ///
    /// # Errors
    /// The call failed; the instance is spent. The same holds for the others.
    pub async fn on_request_waiting(
        &mut self,
        handle: u32,
        exchange: E,
        fields: &[Option<&str>],
    ) -> (E, Result<Verdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, call_on_request(handle, fields));
        self.finish(result, convert::verdict)
    }

    /// As [`on_response`](Self::on_response).
    ///
    /// # Errors
    /// The call failed.
    pub async fn on_response_waiting(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        status: u16,
        headers: &[Option<&str>],
    ) -> (E, Result<Verdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, call_on_response(handle, context, status, headers));
        self.finish(result, convert::verdict)
    }

    /// As [`on_request_body`](Self::on_request_body).
    ///
    /// # Errors
    /// The call failed.
    pub async fn on_request_body_waiting(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        body: &[u8],
    ) -> (E, Result<BodyVerdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, call_on_request_body(handle, context, body));
        self.finish(result, convert::body_verdict)
    }

    /// As [`on_response_body`](Self::on_response_body).
    ///
    /// # Errors
    /// The call failed.
    pub async fn on_response_body_waiting(
        &mut self,
        handle: u32,
        exchange: E,
        context: u64,
        status: u16,
        body: &[u8],
    ) -> (E, Result<BodyVerdict, CallError>) {
        self.guarded.data().now = Now::Hook { handle, exchange };
        let result = call!(self, call_on_response_body(handle, context, status, body));
        self.finish(result, convert::body_verdict)
    }

    /// As [`on_complete`](Self::on_complete).
    ///
    /// # Errors
    /// The call failed.
    pub async fn on_complete_waiting(
        &mut self,
        handle: u32,
        context: u64,
        outcome: Outcome<'_>,
        ejector: Option<Box<dyn Ejector>>,
    ) -> Result<(), CallError> {
        self.guarded.data().now = Now::Complete { handle, instance: None, ejector };
        let outcome = convert::outcome(outcome);
        let result = call!(self, call_on_complete(handle, context, outcome));
        self.guarded.data().now = Now::Idle;
        result
    }
}
