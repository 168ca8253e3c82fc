//! HTTP/2 streams as tasks of their own, which end when their client takes none of the answer.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;

use super::life::{Life, Stream};
use crate::http::{Flow, flow};
use crate::telemetry::Rejections;
use crate::timer::Idle;

/// Runs the streams of one connection.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    life: Rc<Life>,
    stall: Duration,
    count: Rejections,
}

impl StreamExecutor {
    /// A stream that cannot send for as long as `stall` says is reset.
    pub(super) fn new(life: Rc<Life>, stall: Duration, count: Rejections) -> Self {
        Self { life, stall, count }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        let task = StreamTask {
            future: Some(Box::pin(future)),
            blocked: false,
            idle: Idle::new(self.stall),
            count: self.count.clone(),
            _stream: self.life.enter(),
        };
        tokio::task::spawn_local(task);
    }
}

/// hyper waits for room in the client's window before it asks the body for more, so the last thing the body said tells
/// whom the stream waits for.
struct StreamTask<F> {
    future: Option<Pin<Box<F>>>,
    blocked: bool,
    idle: Idle,
    count: Rejections,
    _stream: Stream,
}

impl<F: Future> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        flow::forget();
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(flow) = flow::last() {
            this.blocked = flow == Flow::Gave;
            this.idle.reset();
        }
        if !this.blocked {
            return Poll::Pending;
        }
        ready!(this.idle.poll_stalled(cx));
        this.count.count("send_timeout");
        // Dropping it resets the stream.
        this.future = None;
        Poll::Ready(())
    }
}
