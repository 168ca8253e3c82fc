//! A limit on how long something may stand still. Costs nothing while it moves: a timer is armed only by a poll that
//! would wait, and moving on only notes the time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Watches for standstill.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    /// When the current wait began; `None` while moving.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    /// Standing still for longer than `limit` is too long; [`Duration::MAX`] means never.
    #[must_use]
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: None, sleep: None }
    }

    /// It moved.
    pub(crate) fn reset(&mut self) {
        self.since = None;
    }

    /// To be polled whenever the thing watched is not ready; ready with the limit once it stood still for too long.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(self.limit) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer left from an earlier wait rings too early; it is set anew then, not at every movement.
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(self.limit);
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalls_are_measured_from_the_last_movement() {
        let mut idle = Idle::new(Duration::from_secs(10));
        let mut stalls = async |seconds| {
            tokio::time::timeout(Duration::from_secs(seconds), std::future::poll_fn(|cx| idle.poll_stalled(cx)))
                .await
                .is_ok()
        };
        assert!(!stalls(9).await);
        assert!(stalls(2).await);
        idle.reset();
        let begun = Instant::now();
        std::future::poll_fn(|cx| idle.poll_stalled(cx)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }
}
