//! One long poll that never ends: takes a [`Source`], gives a stream of [`News`] by the index rules of Consul.
//!
//! A return is no proof of change: an unchanged index is a timeout, and a changed one is compared by content later. An
//! index that goes backwards starts over without one. After a failure the next read does not block, because the
//! registry may be another one by then, in which the known index is still to come. Nothing here sleeps for a fixed
//! time between reads: a token bucket bounds churn, back-off bounds failure, and both let a lone change pass at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::agent::{Agent, Query, Reply, Source};
use crate::error::ReadError;
use crate::mesh::{Authorities, Certificate};
use crate::pace::{Backoff, Bucket};
use crate::wire::{self, Instances, Listing};

/// What an answer may take beyond the time the agent was asked to wait. A server without a leader answers after 7 s.
const GRACE: Duration = Duration::from_secs(5);
/// What a read that does not block may take.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Reads that do not block, at the same time: the burst at the start and after an outage.
const BURST: usize = 16;
/// How long a query blocks where there are more polls than places: they take turns.
const TURN: Duration = Duration::from_millis(500);

/// What all polls of a watcher share.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) agent: A,
    pub(crate) wait: Duration,
    pub(crate) stale: bool,
    max_watches: usize,
    /// Polls of single services that exist.
    polls: AtomicUsize,
    at_once: Semaphore,
    places: Semaphore,
    /// The list of services is readable again.
    recovered: Notify,
}

/// One poll. Dropping the future of [`Poll::run`] ends it.
pub(crate) struct Poll<A> {
    shared: Arc<Shared<A>>,
    source: Source,
    /// Tells the messages of this poll from those of one before it for the same source.
    id: u64,
    out: mpsc::Sender<Message>,
    cursor: Cursor,
    /// The servers fail in default mode: let any of them answer, until there is a leader again.
    leaderless: bool,
}

/// News of one poll.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) poll: u64,
    pub(crate) source: Source,
    pub(crate) news: News,
}

/// What a read has shown.
#[derive(Debug)]
pub(crate) enum News {
    /// A state, possibly the same as before.
    State(State, Meta),
    /// The state known already still holds.
    Same(Meta),
    /// Nothing.
    Failed(ReadError),
}

/// The content of an answer.
#[derive(Debug)]
pub(crate) enum State {
    Services(Listing),
    Service(Instances),
    Authorities(Authorities),
    Certificate(Certificate),
}

/// The circumstances of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) index: u64,
    /// The index is lower than one seen before: the registry was wiped, restored or replaced.
    pub(crate) backwards: bool,
    pub(crate) known_leader: bool,
    pub(crate) last_contact: Duration,
}

/// Where a poll stands in the registry's history.
#[derive(Debug, Default)]
struct Cursor {
    /// The last index seen; 0 before the first.
    last: u64,
    /// Whether the next read waits for a newer one.
    blocking: bool,
    /// An index went backwards and nobody has been told yet.
    backwards: bool,
}

/// What an index means for the answer it came with.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Tell { backwards: bool },
    Same,
    ReadAgain,
}

impl<A: Agent> Shared<A> {
    pub(crate) fn new(agent: A, wait: Duration, stale: bool, max_watches: usize) -> Self {
        Self {
            agent,
            wait,
            stale,
            max_watches,
            polls: AtomicUsize::new(0),
            at_once: Semaphore::new(BURST),
            places: Semaphore::new(max_watches.min(Semaphore::MAX_PERMITS)),
            recovered: Notify::new(),
        }
    }

    /// Says how many services are polled from now on.
    pub(crate) fn set_polls(&self, polls: usize) {
        self.polls.store(polls, Ordering::Relaxed);
    }

    /// How long the next blocking query of `source` may block.
    fn turn(&self, source: &Source) -> Duration {
        let crowded = self.polls.load(Ordering::Relaxed) > self.max_watches;
        if crowded && source.service().is_some() { TURN.min(self.wait) } else { self.wait }
    }

    /// A place among the connections to the agent. What is not of one service needs none: everything depends on it.
    async fn place(&self, source: &Source, blocking: bool) -> Option<SemaphorePermit<'_>> {
        source.service()?;
        let places = if blocking { &self.places } else { &self.at_once };
        places.acquire().await.ok()
    }
}

impl<A: Agent> Poll<A> {
    pub(crate) fn new(shared: Arc<Shared<A>>, source: Source, id: u64, out: mpsc::Sender<Message>) -> Self {
        Self { shared, source, id, out, cursor: Cursor::default(), leaderless: false }
    }

    /// Reads for ever, or until nobody listens any more.
    pub(crate) async fn run(mut self) {
        let mut bucket = Bucket::new(Instant::now());
        let mut backoff = Backoff::default();
        let mut retry = false;
        loop {
            sleep(bucket.take(Instant::now())).await;
            let news = match self.read(retry).await {
                Ok(news) => {
                    retry = false;
                    if backoff.succeeded() && self.source == Source::Services {
                        self.shared.recovered.notify_waiters();
                    }
                    news
                }
                Err(error) => {
                    retry = true;
                    self.lost(&error);
                    Some(News::Failed(error))
                }
            };
            if let Some(news) = news
                && !self.tell(news).await
            {
                return;
            }
            if retry {
                self.rest(backoff.failed()).await;
            }
        }
    }

    /// One read; `None` asks for another one at once.
    async fn read(&mut self, retry: bool) -> Result<Option<News>, ReadError> {
        let blocking = self.cursor.blocking;
        let place = self.shared.place(&self.source, blocking).await;
        let reply = self.ask(blocking, retry).await?;
        drop(place);
        let index = accept(&reply)?;
        self.leaderless &= !reply.known_leader;
        let meta =
            |backwards| Meta { index, backwards, known_leader: reply.known_leader, last_contact: reply.last_contact };
        Ok(match self.cursor.advance(index) {
            Step::ReadAgain => None,
            Step::Same => Some(News::Same(meta(false))),
            Step::Tell { backwards } => {
                let state = decode(&self.source, &reply.body)?;
                self.cursor.backwards = false;
                Some(News::State(state, meta(backwards)))
            }
        })
    }

    /// One exchange within its deadline. Servers add up to a sixteenth to the wait they are asked for.
    async fn ask(&self, blocking: bool, retry: bool) -> Result<Reply, ReadError> {
        let wait = self.shared.turn(&self.source);
        let query = Query {
            source: &self.source,
            block: blocking.then_some((self.cursor.last, wait)),
            stale: self.shared.stale || self.leaderless,
            retry,
        };
        let deadline = if blocking { wait + wait / 16 + GRACE } else { AT_ONCE };
        timeout(deadline, self.shared.agent.get(&query)).await.unwrap_or(Err(ReadError::Deadline(deadline)))
    }

    fn lost(&mut self, error: &ReadError) {
        self.cursor.blocking = false;
        self.leaderless |= error.is_server_side();
    }

    async fn tell(&self, news: News) -> bool {
        let message = Message { poll: self.id, source: self.source.clone(), news };
        self.out.send(message).await.is_ok()
    }

    /// Sits out a delay, or less when the agent answers others again.
    async fn rest(&self, delay: Duration) {
        tokio::select! {
            () = sleep(delay) => {}
            () = self.shared.recovered.notified() => {}
        }
    }
}

impl Cursor {
    /// Takes in the index of a good answer.
    fn advance(&mut self, index: u64) -> Step {
        if index < self.last {
            self.backwards = true;
            self.last = 0;
            if std::mem::take(&mut self.blocking) {
                return Step::ReadAgain;
            }
        }
        if self.blocking && index == self.last {
            return Step::Same;
        }
        self.last = index;
        self.blocking = true;
        Step::Tell { backwards: self.backwards }
    }
}

/// The index of an answer that counts. Anything but 200 carries an index that means nothing.
fn accept(reply: &Reply) -> Result<u64, ReadError> {
    match reply.status {
        200 if reply.filtered => Err(ReadError::Filtered),
        // An index of 0 would make the next query return at once, for ever.
        200 => reply.index.map(|index| index.max(1)).ok_or(ReadError::NoIndex),
        403 => Err(ReadError::Denied { body: reply.excerpt() }),
        status => Err(ReadError::Status { status, body: reply.excerpt() }),
    }
}

fn decode(source: &Source, body: &[u8]) -> Result<State, ReadError> {
    Ok(match source {
        Source::Services => State::Services(wire::listing(body)?),
        Source::Service(name) => State::Service(wire::instances(name, body)?),
        Source::Members(name) => State::Service(wire::members(name, body)?),
        Source::Authorities => State::Authorities(wire::authorities(body)?),
        Source::Certificate(_) => State::Certificate(wire::certificate(body)?),
    })
}
