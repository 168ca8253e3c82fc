//! Clients that take nothing of what is sent to them.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::timer::Idle;

/// Watches the writing half of a client's connection.
#[derive(Debug)]
pub(super) struct Progress(Idle);

impl Progress {
    /// Nothing may be taken for as long as `stall` says.
    pub(super) fn new(stall: Duration) -> Self {
        Self(Idle::new(stall))
    }

    /// The client may take its time from here on.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    /// What became of a write: once nothing could be written for too long, an error of kind `TimedOut`, which `stalled`
    /// hears of.
    pub(super) fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        stalled: impl FnOnce(),
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.0.reset();
            return written;
        }
        ready!(self.0.poll_stalled(cx));
        stalled();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
