//! Requests of the plugin's own, while its call is suspended.

use std::time::{Duration, Instant};

use super::data::{Now, PolicyData};
use crate::bindings::policy::sluice::gateway::policy_types::Header;
use crate::bindings::waiting::sluice::gateway::outbound;
use crate::engine::ticks;
use crate::host::{ExchangeHost, OutboundRequest, OutboundResponse};

/// What a plugin may send, and get.
const BODY_BYTES: usize = 1 << 20;
/// How many requests one call may send.
const MOST_SENT: u32 = 8;
/// The longest it may wait for all answers.
const LONGEST: Duration = Duration::from_mins(1);

impl<E: ExchangeHost> outbound::Host for PolicyData<E> {
    async fn send(&mut self, request: outbound::Request) -> wasmtime::Result<Result<outbound::Response, String>> {
        let begun = Instant::now();
        let answer = match self.sending(request) {
            Ok(answer) => answer.await,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.waited = waiting.waited.saturating_add(ticks(begun.elapsed()));
            waiting.waited_for += begun.elapsed();
            // The clock may have rested meanwhile.
            waiting.engine.tick_for(ticks(waiting.deadline).saturating_add(waiting.waited));
        }
        Ok(answer.map(response))
    }
}

impl<E: ExchangeHost> PolicyData<E> {
    fn sending(&mut self, request: outbound::Request) -> Result<crate::host::OutboundAnswer, String> {
        let target = request.target;
        if !self.grants.may_send(&target) {
            return Err(format!("nothing may be sent to `{target}` without the grant `outbound:{target}`"));
        }
        if !matches!(self.now, Now::Hook { .. } | Now::Complete { .. }) {
            return Err("nothing can be sent while configuring".to_owned());
        }
        if request.body.len() > BODY_BYTES {
            return Err(format!(
                "a body of {} bytes is more than the {BODY_BYTES} a plugin may send",
                request.body.len()
            ));
        }
        let waiting = self.waiting.as_mut().ok_or_else(|| "nobody sends requests here".to_owned())?;
        let outbound = waiting.outbound.as_ref().ok_or_else(|| "nobody sends requests here".to_owned())?;
        waiting.sent += 1;
        if waiting.sent > MOST_SENT || waiting.waited_for >= LONGEST {
            return Err(format!("a call may send {MOST_SENT} requests and wait for {LONGEST:?} in all"));
        }
        Ok(outbound.send(OutboundRequest {
            target,
            method: request.method,
            path: request.path,
            headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: request.body,
            timeout: Duration::from_nanos(request.timeout_ns).min(LONGEST - waiting.waited_for),
            transport: request.transport,
        }))
    }
}

fn response(response: OutboundResponse) -> outbound::Response {
    let headers = response.headers.into_iter().map(|(name, value)| Header { name, value });
    outbound::Response { status: response.status, headers: headers.collect(), body: response.body }
}
