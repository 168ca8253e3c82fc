//! How many requests a service takes at once, and who waits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_model::service::RequestLimit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One service's limit. Whoever waits is let in by turns.
#[derive(Debug)]
pub struct Queue {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    /// Places that are taken and will not be given out again.
    owed: AtomicU32,
    limit: Mutex<RequestLimit>,
    refused: AtomicU64,
}

/// A place, given back by dropping it.
#[derive(Debug)]
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    queue: Arc<Queue>,
}

/// One that waits, until it does not.
struct Waiting<'a>(&'a AtomicU32);

impl Queue {
    pub(super) fn new(limit: &RequestLimit) -> Self {
        let places = Arc::new(Semaphore::new(limit.active as usize));
        let (waiting, owed, refused) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
        Self { places, waiting, owed, limit: Mutex::new(*limit), refused }
    }

    /// Other limits count from now on; places that are taken stay taken.
    pub(super) fn adjust(&self, limit: &RequestLimit) {
        let mut current = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (current.active, limit.active);
        if after > before {
            let more = after - before;
            let kept = more.min(self.owed.load(Ordering::Relaxed));
            self.owed.fetch_sub(kept, Ordering::Relaxed);
            self.places.add_permits((more - kept) as usize);
        } else {
            // Those not free now are taken away as they come back.
            let surplus = before - after;
            let gone = self.places.forget_permits(surplus as usize);
            self.owed.fetch_add(surplus.saturating_sub(u32::try_from(gone).unwrap_or(surplus)), Ordering::Relaxed);
        }
        *current = *limit;
    }

    /// A place, at once or after waiting; `None` where too many wait or it takes too long.
    pub async fn enter(self: &Arc<Self>) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(self.place(permit));
        }
        let RequestLimit { waiting, wait, .. } = *self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.wait(waiting, wait).await;
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        Place { permit: Some(permit), queue: Arc::clone(self) }
    }

    async fn wait(self: &Arc<Self>, most: u32, time: Duration) -> Option<Place> {
        let waiting = Waiting(&self.waiting);
        if waiting.0.fetch_add(1, Ordering::Relaxed) >= most {
            return None;
        }
        let permit = tokio::time::timeout(time, Arc::clone(&self.places).acquire_owned()).await;
        permit.ok().and_then(Result::ok).map(|permit| self.place(permit))
    }

    /// How many wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let owed = self.queue.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1));
        if owed.is_ok()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(active: u32, waiting: u32) -> RequestLimit {
        RequestLimit { active, waiting, wait: Duration::from_millis(20) }
    }

    #[tokio::test]
    async fn places_are_given_back_and_the_queue_is_bounded() {
        let queue = Arc::new(Queue::new(&limit(1, 1)));
        let first = queue.enter().await;
        assert!(first.is_some());
        let (second, third) = tokio::join!(queue.enter(), queue.enter());
        assert!(second.is_none() && third.is_none(), "one waited in vain, the other was refused at once");
        assert_eq!((queue.waiting(), queue.refused()), (0, 2));
        let (next, ()) = tokio::join!(queue.enter(), async { drop(first) });
        assert!(next.is_some());
    }

    #[tokio::test]
    async fn limits_change_under_requests() {
        let queue = Arc::new(Queue::new(&limit(2, 0)));
        let taken = (queue.enter().await, queue.enter().await);
        queue.adjust(&limit(1, 0));
        drop(taken.0);
        assert!(queue.enter().await.is_none(), "one place is left, and it is taken");
        queue.adjust(&limit(3, 0));
        assert!(queue.enter().await.is_some() && queue.enter().await.is_some());
        drop(taken.1);
    }
}
