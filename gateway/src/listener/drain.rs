//! Draining: tells every connection of a worker to finish, and knows when the last one has. Those with nothing under way
//! finish one by one, so that their clients do not all turn to somebody else at once.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// One worker's draining state.
#[derive(Default)]
pub(super) struct Drain {
    begun: Cell<bool>,
    /// How often connections were woken to look at what there is to do.
    stirred: Cell<u32>,
    beginning: Notify,
    open: Cell<usize>,
    closing: Notify,
    spread: Duration,
}

/// An open connection.
pub(super) struct Open {
    drain: Rc<Drain>,
}

impl Drain {
    /// Unused connections are to close within `spread`.
    pub(super) fn over(spread: Duration) -> Self {
        Self { spread, ..Self::default() }
    }

    pub(super) fn begin(&self) {
        self.begun.set(true);
        self.beginning.notify_waiters();
    }

    /// Wakes every connection that waits for draining to begin, so that those at rest learn of what has changed.
    pub(super) fn stir(&self) {
        self.stirred.set(self.stirred.get().wrapping_add(1));
        self.beginning.notify_waiters();
    }

    /// Ready once draining has begun. It has to stay in one task.
    pub(super) fn begun(&self) -> Begun<'_> {
        Begun { drain: self, waiting: None, stirred: 0 }
    }

    pub(super) fn enter(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open { drain: Rc::clone(self) }
    }

    /// Ready once no connection is open.
    pub(super) async fn finished(&self) {
        while self.open.get() > 0 {
            self.closing.notified().await;
        }
    }
}

impl Open {
    /// Ready once draining has begun.
    pub(super) fn told_to_finish(&self) -> Begun<'_> {
        self.drain.begun()
    }

    /// How long it may go on once draining has begun while nothing is under way.
    pub(super) fn linger(&self) -> Duration {
        self.drain.spread.mul_f64(fastrand::f64())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.drain.open.set(self.drain.open.get().saturating_sub(1));
        self.drain.closing.notify_one();
    }
}

/// Registers with the notifier once, and again after it was woken; every further poll costs a look at two cells.
pub(super) struct Begun<'a> {
    drain: &'a Drain,
    waiting: Option<Pin<Box<Notified<'a>>>>,
    /// As it was when this registered.
    stirred: u32,
}

impl Future for Begun<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.begun.get() {
            return Poll::Ready(());
        }
        let stirred = self.drain.stirred.get();
        if self.waiting.is_none() || self.stirred != stirred {
            self.stirred = stirred;
            let mut waiting = Box::pin(self.drain.beginning.notified());
            let registered = pin!(waiting.as_mut()).poll(cx);
            self.waiting = Some(waiting);
            return registered;
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn connections_are_told_and_waited_for() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let drain = Rc::new(Drain::default());
                let open = drain.enter();
                let told = tokio::task::spawn_local(async move { open.told_to_finish().await });
                tokio::task::yield_now().await;
                assert!(!told.is_finished());
                drain.stir();
                tokio::task::yield_now().await;
                assert!(!told.is_finished(), "only woken");
                drain.begin();
                drain.finished().await;
                told.await.unwrap();
                drain.enter().told_to_finish().await;
            })
            .await;
    }
}
