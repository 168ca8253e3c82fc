//! A limit on how long something may stand still.

use std::task::{Context, Poll};
use std::time::Duration;

use super::Deadline;

/// Watches for standstill. Costs nothing while it moves: only a poll that would wait sets the deadline.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    waiting: bool,
    deadline: Option<Deadline>,
}

impl Idle {
    /// Standing still for longer than `limit` is too long; [`Duration::MAX`] means never.
    #[must_use]
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, waiting: false, deadline: None }
    }

    /// Another limit, from the next standstill on.
    pub(crate) fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// It moved.
    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.waiting)
            && let Some(deadline) = &self.deadline
        {
            deadline.clear();
        }
    }

    /// To be polled whenever the thing watched is not ready; ready with the limit once it stood still for too long.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        if self.limit == Duration::MAX {
            return Poll::Pending;
        }
        let deadline = self.deadline.get_or_insert_default();
        if !self.waiting {
            self.waiting = true;
            deadline.set(self.limit);
        }
        deadline.poll_due(cx).map(|()| self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::wheel::pass;
    use std::task::Waker;

    #[test]
    fn stalls_are_measured_from_the_last_movement() {
        let mut idle = Idle::new(Duration::from_secs(10));
        let mut is_stalled = |moved: bool| {
            if moved {
                idle.reset();
            }
            idle.poll_stalled(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(!is_stalled(false));
        pass(Duration::from_secs(9));
        assert!(!is_stalled(true));
        pass(Duration::from_secs(9));
        assert!(!is_stalled(false));
        pass(Duration::from_secs(2));
        assert!(is_stalled(false));
    }
}
