//! Whom an answer waits for: whoever makes it, or whoever takes it.

use std::cell::Cell;

/// What the last body that was asked on this thread said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It gave something, so it is not what is waited for.
    Gave,
    /// It has nothing yet.
    Waits,
}

thread_local! {
    static LAST: Cell<Option<Flow>> = const { Cell::new(None) };
}

/// Nothing was asked.
pub fn forget() {
    LAST.set(None);
}

/// What was said since.
#[must_use]
pub fn last() -> Option<Flow> {
    LAST.get()
}

pub(super) fn note(flow: Flow) {
    LAST.set(Some(flow));
}
