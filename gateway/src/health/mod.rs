//! Active health checks: asks every instance that some service wants asked, and notes what it says.
//!
//! Takes checks as they are announced by `state`; gives their state back there. One task asks for each check, on the
//! background runtime, and ends when no generation uses the check any more. Nothing on the way of a request waits here.

mod ask;
mod grpc;
mod verdict;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::live::Transports;
use crate::state::CheckState;
use verdict::Verdict;

/// Starts asking. `announced` are the checks as they come into use.
pub fn start(runtime: &Runtime, transports: Transports, mut announced: UnboundedReceiver<Arc<CheckState>>) {
    runtime.spawn(async move {
        while let Some(check) = announced.recv().await {
            tokio::spawn(watch(Arc::downgrade(&check), transports.clone()));
        }
    });
}

/// Asks one instance again and again, for as long as somebody wants to know.
async fn watch(check: Weak<CheckState>, transports: Transports) {
    let mut verdict = Verdict::default();
    let mut pause = match check.upgrade() {
        Some(check) if !check.key.check.at_once => spread(check.key.check.interval),
        Some(_) => Duration::ZERO,
        None => return,
    };
    loop {
        tokio::time::sleep(pause).await;
        let Some(check) = check.upgrade() else { return };
        let begun = Instant::now();
        let wanted = &check.key.check;
        let answer = match tokio::time::timeout(wanted.timeout, ask::ask(&check.key, &transports)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", wanted.timeout)),
        };
        conclude(&check, &mut verdict, &answer);
        let interval = if check.is_up() { wanted.interval } else { wanted.unhealthy_interval };
        pause = interval.saturating_sub(begun.elapsed());
    }
}

/// Notes an answer, and what it changes.
fn conclude(check: &CheckState, verdict: &mut Verdict, answer: &Result<(), String>) {
    check.note(answer);
    let wanted = &check.key.check;
    let was_up = check.is_up();
    let up = verdict.after(answer.is_ok(), was_up, wanted.passes, wanted.failures, Instant::now().into_std());
    if up == was_up {
        return;
    }
    check.set_up(up);
    let instance = check.key.instance.url();
    match answer {
        Err(reason) => tracing::warn!(instance, reason, "health check failed; instance takes no requests"),
        Ok(()) => tracing::info!(instance, "health check passed; instance takes requests again"),
    }
}

/// The first wait, up to a tenth shorter: checks that come into use together are not asked together for ever.
fn spread(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - fastrand::f64() / 10.0)
}
