//! The hooks that copy nothing, of plugins that have them.

use std::sync::Arc;

use super::data::Now;
use super::{Guest, PolicyInstance};
use crate::convert;
use crate::error::CallError;
use crate::host::{AskedInstance, Ejector, ExchangeHost};
use crate::types::{Outcome, Verdict};

impl<E: ExchangeHost> PolicyInstance<E> {
    /// Whether its hooks are called as here, and not as [`on_request`](Self::on_request) and
    /// [`on_complete`](Self::on_complete).
    #[must_use]
    pub fn is_lean(&self) -> bool {
        matches!(self.guest, Guest::Straight(_, Some(_)))
    }

    /// As [`on_request`](Self::on_request), at a moment of the state's clock.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_request_lean(&mut self, handle: u32, exchange: E, now_ns: u64) -> (E, Result<Verdict, CallError>) {
        let data = self.guarded.data();
        let used = data.get(handle);
        let mark = used.filter(|used| used.wants_more).map_or(0, |used| data.mark(used, &exchange));
        let forced = used.and_then(|used| used.state.forced()).and_then(convert::force);
        data.now = Now::Hook { handle, exchange };
        data.decided = None;
        let result = match &self.guest {
            Guest::Straight(_, Some(lean)) => self
                .guarded
                .hook(|store| lean.sluice_gateway_lean_hooks().call_on_request(store, handle, now_ns, forced, mark)),
            _ => Err(without()),
        };
        let decided = self.guarded.data().decided.take();
        self.finish(result, |context| decided.map_or(Ok(Verdict::Next { context }), convert::verdict))
    }

    /// As [`on_complete`](Self::on_complete), at a moment of the state's clock.
    ///
    /// # Errors
    /// The call failed; the instance is spent.
    pub fn on_complete_lean(
        &mut self,
        handle: u32,
        context: u64,
        outcome: Outcome<'_>,
        instance: Option<Arc<dyn AskedInstance>>,
        ejector: Option<Box<dyn Ejector>>,
        now_ns: u64,
    ) -> Result<(), CallError> {
        let data = self.guarded.data();
        let forced = data.get(handle).and_then(|used| used.state.forced()).and_then(convert::force);
        data.now = Now::Complete { handle, instance, ejector };
        let result = match &self.guest {
            Guest::Straight(_, Some(lean)) => self.guarded.hook(|store| {
                let said = convert::outcome(outcome);
                lean.sluice_gateway_lean_hooks().call_on_complete(
                    store,
                    handle,
                    now_ns,
                    forced,
                    context,
                    said.status,
                    said.failure,
                    said.duration_ns,
                    said.upstream_status,
                    said.request_bytes,
                    said.response_bytes,
                    said.rerouted,
                    said.grpc_status,
                )
            }),
            _ => Err(without()),
        };
        self.guarded.data().now = Now::Idle;
        result
    }
}

fn without() -> CallError {
    CallError::Contract("it has no lean hooks".to_owned())
}
