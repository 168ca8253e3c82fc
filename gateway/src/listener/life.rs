//! How long a connection may go on: told to finish once it is old, has served its share, has nothing to do any more, or
//! the worker drains.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::drain::Open;
use crate::config::{Limits, Timeouts};
use crate::state::{Overload, Shortage};
use crate::timer::{Deadline, Idle};

/// How long a connection that was told to finish, and has nothing under way, may take for its goodbyes.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a connection may rest while memory is short.
const SHORT_REST: Duration = Duration::from_secs(5);

/// What one connection has done.
#[derive(Default)]
pub(super) struct Life {
    requests: Cell<u32>,
    /// Requests whose answer has no head yet.
    under_way: Cell<u32>,
    /// HTTP/2 streams being answered.
    streams: Cell<u32>,
}

/// A request whose answer has no head yet.
pub(super) struct UnderWay {
    life: Rc<Life>,
}

/// An HTTP/2 stream being answered.
pub(super) struct Stream {
    life: Rc<Life>,
}

/// What it may do.
pub(super) struct Span {
    requests: u32,
    age: Deadline,
    /// The connection's task is known to the deadline; it stays the same.
    age_watched: Cell<bool>,
    /// Without a stream for so long after the last one, on HTTP/2. On HTTP/1 hyper sees to that.
    rest: Option<Duration>,
    /// The same before the first one.
    first: Duration,
    idle: RefCell<Idle>,
    /// Requests there were when it was last asked about a rest.
    rested_after: Cell<u32>,
    /// Whether rests were short then.
    is_short: Cell<bool>,
    overload: Arc<Overload>,
}

impl Life {
    /// A request has come.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        self.requests.set(self.requests.get().saturating_add(1));
        self.under_way.set(self.under_way.get() + 1);
        UnderWay { life: Rc::clone(self) }
    }

    fn is_busy(&self) -> bool {
        self.under_way.get() > 0 || self.streams.get() > 0
    }

    pub(super) fn enter(self: &Rc<Self>) -> Stream {
        self.streams.set(self.streams.get() + 1);
        Stream { life: Rc::clone(self) }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.life.under_way.set(self.life.under_way.get().saturating_sub(1));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.life.streams.set(self.life.streams.get().saturating_sub(1));
    }
}

impl Span {
    pub(super) fn of_http1(limits: &Limits, timeouts: &Timeouts, overload: Arc<Overload>) -> Self {
        let mut age = Deadline::default();
        if let Some(limit) = timeouts.keep_alive_age {
            age.set(limit.mul_f64(0.9 + 0.2 * fastrand::f64()));
        }
        Self {
            requests: limits.keep_alive_requests.unwrap_or(u32::MAX),
            age,
            age_watched: Cell::new(false),
            rest: None,
            first: timeouts.header,
            idle: RefCell::new(Idle::new(timeouts.header)),
            rested_after: Cell::new(0),
            is_short: Cell::new(false),
            overload,
        }
    }

    pub(super) fn of_http2(limits: &Limits, timeouts: &Timeouts, overload: Arc<Overload>) -> Self {
        Self { rest: Some(timeouts.keep_alive), ..Self::of_http1(limits, timeouts, overload) }
    }

    /// Ready once the connection should end. To be asked after each poll of it.
    fn poll_over(&self, life: &Life, cx: &mut Context<'_>) -> Poll<()> {
        let (requests, shortage) = (life.requests.get(), self.overload.shortage());
        if requests >= self.requests || requests > 0 && shortage >= Shortage::KeepAlive {
            return Poll::Ready(());
        }
        if self.rest.is_none() && shortage == Shortage::None {
            return self.poll_old(cx);
        }
        if self.poll_rested(life, shortage, cx).is_ready() { Poll::Ready(()) } else { self.poll_old(cx) }
    }

    /// Ready once it has had nothing to do for too long. An answer on HTTP/1 whose head is out is finished all the same.
    fn poll_rested(&self, life: &Life, shortage: Shortage, cx: &mut Context<'_>) -> Poll<()> {
        let (requests, is_short) = (life.requests.get(), shortage >= Shortage::Rest);
        let mut idle = self.idle.borrow_mut();
        let is_news = self.rested_after.replace(requests) != requests || self.is_short.replace(is_short) != is_short;
        if is_news || life.is_busy() {
            idle.reset();
        }
        if life.is_busy() {
            return Poll::Pending;
        }
        let rest = if requests == 0 { self.first } else { self.rest.unwrap_or(SHORT_REST) };
        idle.limit(if is_short { rest.min(SHORT_REST) } else { rest });
        idle.poll_stalled(cx).map(drop)
    }

    fn poll_old(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.age_watched.replace(true) {
            return self.age.poll_due(cx);
        }
        if self.age.is_due() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is closed.
    Ended,
    /// It has to finish.
    Over,
    /// Its worker drains.
    Told,
    /// Its client rests.
    Resting,
}

/// How [`run`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is closed.
    Closed,
    /// Its client rests, so that it can be taken apart.
    Resting,
}

/// Lets a connection go on that has nothing under way, for a time or up to its next request.
async fn linger<C: Future>(mut connection: Pin<&mut C>, life: &Life, time: Duration) -> Turn {
    let before = life.requests.get();
    let mut deadline = Deadline::default();
    deadline.set(time);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Turn::Ended);
        }
        let has_work = life.is_busy() || life.requests.get() != before;
        if has_work || deadline.poll_due(cx).is_ready() { Poll::Ready(Turn::Over) } else { Poll::Pending }
    })
    .await
}

/// Waits beside a connection that was taken apart, until `news` has something for it to do or it should end.
pub(super) async fn rest(mut news: impl FnMut(&mut Context<'_>) -> Poll<()>, life: &Life, span: &Span, open: &Open) {
    let mut told = pin!(open.told_to_finish());
    let waited = poll_fn(|cx| {
        if news(cx).is_ready() || span.poll_over(life, cx).is_ready() {
            return Poll::Ready(());
        }
        told.as_mut().poll(cx)
    });
    waited.await;
}

/// Runs a connection to its end, or to a rest if it `rests`. `finish` asks it to end once nothing is under way.
pub(super) async fn run<C: Future>(
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    rests: impl Fn() -> bool,
    life: &Life,
    span: &Span,
    open: &Open,
) -> End {
    let mut told = pin!(open.told_to_finish());
    let turn = poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Turn::Ended);
        }
        if span.poll_over(life, cx).is_ready() {
            return Poll::Ready(Turn::Over);
        }
        if told.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Turn::Told);
        }
        if rests() && !life.is_busy() { Poll::Ready(Turn::Resting) } else { Poll::Pending }
    });
    match turn.await {
        Turn::Ended => return End::Closed,
        Turn::Resting => return End::Resting,
        Turn::Over => {}
        Turn::Told => {
            if linger(connection.as_mut(), life, open.linger()).await == Turn::Ended {
                return End::Closed;
            }
        }
    }
    finish(connection.as_mut());
    let mut goodbye = Idle::new(GOODBYE);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if span.rest.is_none() || life.streams.get() > 0 {
            goodbye.reset();
            return Poll::Pending;
        }
        goodbye.poll_stalled(cx).map(drop)
    })
    .await;
    End::Closed
}
