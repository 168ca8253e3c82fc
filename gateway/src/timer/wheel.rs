//! The wheel and what is on it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How often the wheel turns.
const TURN: Duration = Duration::from_millis(50);
const TURN_MS: u64 = 50;
/// Deadlines further away than this many turns are looked at once in a while.
const PLACES: usize = 2048;
/// Not set.
const NEVER: u64 = u64::MAX;

thread_local! {
    static WHEEL: Wheel = Wheel::new();
}

/// One thread's wheel.
struct Wheel {
    begun: Instant,
    /// Milliseconds since `begun`, as of the last turn.
    now: Cell<u64>,
    places: RefCell<Vec<Vec<Arc<Slot>>>>,
    /// Slots of deadlines that are gone.
    free: RefCell<Vec<Arc<Slot>>>,
}

/// A point in time that can be moved. It belongs to the thread it is first set on.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    /// Taken when it is first set, and given back for others to use.
    slot: Option<Arc<Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// When it is due, on the wheel's clock.
    due: AtomicU64,
    /// When the wheel looks at it. Other entries of it on the wheel are stale.
    placed: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { due: AtomicU64::new(NEVER), placed: AtomicU64::new(NEVER), waker: Mutex::new(None) }
    }
}

impl Deadline {
    /// Due this long from now, whatever it was before. [`Duration::MAX`] is never.
    pub(crate) fn set(&mut self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        // The wheel's clock is late by up to a turn.
        self.set_at(now_ms().saturating_add(TURN_MS).saturating_add(after));
    }

    fn set_at(&mut self, due: u64) {
        let slot = self.slot.get_or_insert_with(|| WHEEL.with(Wheel::slot));
        slot.due.store(due, Ordering::Relaxed);
        // An entry that is looked at earlier will do: it is moved on then.
        if due < slot.placed.load(Ordering::Relaxed) {
            WHEEL.with(|wheel| wheel.put(Arc::clone(slot)));
        }
    }

    /// Never due any more.
    pub(crate) fn clear(&self) {
        if let Some(slot) = &self.slot {
            slot.due.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Whether it is due.
    pub(crate) fn is_due(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.due.load(Ordering::Relaxed) <= now_ms())
    }

    /// Ready once it is due; until then the task is woken when it is.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = &self.slot else { return Poll::Pending };
        if slot.due.load(Ordering::Relaxed) <= now_ms() {
            return Poll::Ready(());
        }
        let mut waker = slot.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.due.store(NEVER, Ordering::Relaxed);
            slot.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Threads that end take their wheel with them.
            WHEEL.try_with(|wheel| wheel.free.borrow_mut().push(slot)).ok();
        }
    }
}

impl Wheel {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            now: Cell::new(0),
            places: RefCell::new((0..PLACES).map(|_| Vec::new()).collect()),
            free: RefCell::default(),
        }
    }

    /// One that nobody uses. There are never more than were used at once, however often deadlines come and go.
    fn slot(&self) -> Arc<Slot> {
        self.free.borrow_mut().pop().unwrap_or_default()
    }

    fn put(&self, slot: Arc<Slot>) {
        let turns = slot.due.load(Ordering::Relaxed).saturating_sub(self.now.get()).div_ceil(TURN_MS);
        let ahead = usize::try_from(turns).unwrap_or(PLACES).clamp(1, PLACES - 1);
        slot.placed.store(self.now.get() + ahead as u64 * TURN_MS, Ordering::Relaxed);
        let at = (self.position() + ahead) % PLACES;
        if let Some(place) = self.places.borrow_mut().get_mut(at) {
            place.push(slot);
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.now.get() / TURN_MS).unwrap_or(0) % PLACES
    }

    /// Moves on to `now`, turn by turn.
    fn turn_to(&self, now: u64) {
        while self.now.get() + TURN_MS <= now {
            self.now.set(self.now.get() + TURN_MS);
            let position = self.position();
            let here = self.places.borrow_mut().get_mut(position).map(std::mem::take).unwrap_or_default();
            for slot in here {
                self.visit(slot);
            }
        }
    }

    fn visit(&self, slot: Arc<Slot>) {
        if slot.placed.load(Ordering::Relaxed) != self.now.get() {
            return;
        }
        slot.placed.store(NEVER, Ordering::Relaxed);
        let due = slot.due.load(Ordering::Relaxed);
        if due == NEVER {
            return;
        }
        if due > self.now.get() {
            return self.put(slot);
        }
        let waker = slot.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The wheel's clock on this thread: milliseconds, as of the last turn.
fn now_ms() -> u64 {
    WHEEL.with(|wheel| wheel.now.get())
}

/// The wheel's clock as an instant.
pub(crate) fn now() -> std::time::Instant {
    WHEEL.with(|wheel| (wheel.begun + Duration::from_millis(wheel.now.get())).into_std())
}

/// A deadline at an instant of [`now`]'s clock, from a library that counts in instants.
pub(super) fn set_at(deadline: &mut Deadline, at: std::time::Instant) {
    let after = WHEEL.with(|wheel| at.saturating_duration_since(wheel.begun.into_std()));
    deadline.set_at(u64::try_from(after.as_millis()).unwrap_or(NEVER).saturating_add(TURN_MS));
}

/// What a future comes to; `None` where that takes longer than `limit`.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut deadline) = (pin!(future), Deadline::default());
    deadline.set(limit);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => deadline.poll_due(cx).map(|()| None),
    })
    .await
}

/// Turns this thread's wheel. Without it no deadline is ever due. `late` is told by how much each turn comes too late,
/// which is how long everything else on this thread has to wait.
pub(crate) async fn turn_for_ever(late: impl Fn(Duration)) {
    loop {
        let asked = Instant::now();
        tokio::time::sleep(TURN).await;
        late(asked.elapsed().saturating_sub(TURN));
        let elapsed = WHEEL.with(|wheel| wheel.begun.elapsed());
        WHEEL.with(|wheel| wheel.turn_to(u64::try_from(elapsed.as_millis()).unwrap_or(0)));
    }
}

/// Lets time pass on this thread's wheel.
#[cfg(test)]
pub(crate) fn pass(time: Duration) {
    WHEEL.with(|wheel| wheel.turn_to(wheel.now.get() + u64::try_from(time.as_millis()).unwrap_or(NEVER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_due(deadline: &Deadline) -> bool {
        deadline.poll_due(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn on_wheel() -> usize {
        WHEEL.with(|wheel| wheel.places.borrow().iter().map(Vec::len).sum())
    }

    #[test]
    fn deadlines_are_never_early_and_little_late() {
        for milliseconds in [0, 1, 49, 50, 51, 999, 30_000, 300_000] {
            let mut deadline = Deadline::default();
            let limit = Duration::from_millis(milliseconds);
            deadline.set(limit);
            pass(limit);
            assert!(!is_due(&deadline), "{limit:?} is over on a clock that may be late");
            pass(2 * TURN);
            assert!(is_due(&deadline), "{limit:?}");
        }
    }

    #[test]
    fn deadlines_can_be_moved_and_cleared() {
        let second = Duration::from_secs(1);
        let mut deadline = Deadline::default();
        deadline.set(second);
        deadline.set(5 * second);
        pass(2 * second);
        assert!(!is_due(&deadline), "moved away");
        pass(4 * second);
        assert!(is_due(&deadline));
        deadline.set(50 * second);
        deadline.set(second);
        pass(2 * second);
        assert!(is_due(&deadline), "moved nearer");
        deadline.set(second);
        deadline.clear();
        pass(60 * second);
        assert!(!is_due(&deadline), "cleared");
        deadline.set(second);
        pass(2 * second);
        assert!(is_due(&deadline), "set again");
    }

    #[test]
    fn whoever_waits_is_woken_once() {
        use std::sync::atomic::AtomicUsize;
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(200));
        deadline.set(Duration::from_secs(2));
        assert!(deadline.poll_due(&mut Context::from_waker(&waker)).is_pending());
        pass(Duration::from_secs(1));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        pass(Duration::from_secs(300));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn futures_are_waited_for_until_the_limit() {
        let second = Duration::from_secs(1);
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(pin!(within(second, std::future::ready(1))).poll(cx), Poll::Ready(Some(1)));
        let mut never = pin!(within(second, std::future::pending::<()>()));
        assert!(never.as_mut().poll(cx).is_pending());
        pass(2 * second);
        assert_eq!(never.poll(cx), Poll::Ready(None));
    }

    #[test]
    fn deadlines_that_come_and_go_leave_nothing_behind() {
        for _ in 0..1000 {
            Deadline::default().set(Duration::from_secs(75));
        }
        assert_eq!(on_wheel(), 1, "they use one slot after the other");
        pass(Duration::from_secs(80));
        assert_eq!(on_wheel(), 0);
    }
}
