//! One poll against scripted replies: index rules, deadlines, pace.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::LONG;
use super::fake::{Broken, Fake, Logged, Script, reply};
use crate::agent::{Reply, Source};
use crate::blocking::{Message, Meta, News, Poll, Shared};
use crate::error::ReadError;

const WAIT: Duration = Duration::from_secs(55);

struct Reader {
    fake: Fake,
    news: mpsc::Receiver<Message>,
}

impl Reader {
    fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let fake = Fake::default();
        for reply in replies {
            fake.script("", Script::Reply(reply));
        }
        Self::over(fake)
    }

    fn over(fake: Fake) -> Self {
        let (out, news) = mpsc::channel(1024);
        let shared = Arc::new(Shared::new(fake.clone(), WAIT, false, 8));
        tokio::spawn(Poll::new(shared, Source::Services, 1, out).run());
        Self { fake, news }
    }

    async fn next(&mut self) -> News {
        timeout(LONG, self.news.recv()).await.expect("news").expect("a running poll").news
    }

    async fn state(&mut self) -> Meta {
        match self.next().await {
            News::State(_, meta) => meta,
            other => panic!("not a state: {other:?}"),
        }
    }

    async fn failure(&mut self) -> ReadError {
        match self.next().await {
            News::Failed(error) => error,
            other => panic!("not a failure: {other:?}"),
        }
    }

    fn log(&self) -> Vec<Logged> {
        self.fake.log_of("")
    }

    /// The indices asked for so far.
    async fn asked(&self, queries: usize) -> Vec<Option<u64>> {
        while self.log().len() < queries {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.log().iter().map(|query| query.block.map(|(index, _)| index)).take(queries).collect()
    }
}

fn status(status: u16) -> Reply {
    Reply { status, known_leader: false, ..reply(1, "rpc error: EOF") }
}

#[tokio::test(start_paused = true)]
async fn the_first_read_does_not_block_and_the_next_one_does() {
    let mut reader = Reader::start([reply(42, "{}")]);
    assert_eq!(reader.state().await.index, 42);
    assert_eq!(reader.asked(2).await, [None, Some(42)]);
    assert_eq!(reader.log()[1].block, Some((42, WAIT)));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_index_is_a_timeout_and_its_body_is_not_even_read() {
    let mut reader = Reader::start([reply(42, "{}"), reply(42, "not json")]);
    reader.state().await;
    assert!(matches!(reader.next().await, News::Same(meta) if meta.index == 42));
    assert_eq!(reader.asked(3).await, [None, Some(42), Some(42)]);
}

#[tokio::test(start_paused = true)]
async fn an_index_going_backwards_starts_over_at_once() {
    let mut reader = Reader::start([reply(42, "{}"), reply(12, "not json"), reply(12, "{}")]);
    assert!(!reader.state().await.backwards);
    let started = Instant::now();
    let meta = reader.state().await;
    assert!(meta.backwards && meta.index == 12);
    assert!(started.elapsed() < Duration::from_millis(100));
    assert_eq!(reader.asked(4).await, [None, Some(42), None, Some(12)]);
}

#[tokio::test(start_paused = true)]
async fn an_index_of_zero_counts_as_one() {
    let mut reader = Reader::start([reply(0, "{}")]);
    assert_eq!(reader.state().await.index, 1);
    assert_eq!(reader.asked(2).await, [None, Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_index_of_an_error_means_nothing() {
    let mut reader = Reader::start([reply(42, "{}"), status(500), reply(43, "{}")]);
    reader.state().await;
    assert!(matches!(reader.failure().await, ReadError::Status { status: 500, .. }));
    let meta = reader.state().await;
    assert!(meta.index == 43 && !meta.backwards);
    assert_eq!(reader.asked(4).await, [None, Some(42), None, Some(43)]);
}

#[tokio::test(start_paused = true)]
async fn a_lower_index_after_an_outage_is_backwards_too() {
    let mut reader = Reader::start([reply(42, "{}"), status(500), reply(41, "{}")]);
    reader.state().await;
    reader.failure().await;
    assert!(reader.state().await.backwards);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_makes_no_sense_does_not_hide_the_step_backwards() {
    let mut reader = Reader::start([reply(42, "{}"), reply(12, "{}"), reply(12, "[]"), reply(12, "{}")]);
    reader.state().await;
    assert!(matches!(reader.failure().await, ReadError::Malformed(_)));
    assert!(reader.state().await.backwards);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_index_or_with_parts_hidden_is_an_error() {
    let filtered = Reply { filtered: true, ..reply(42, "{}") };
    let mut reader = Reader::start([Reply { index: None, ..reply(0, "{}") }, filtered, status(403)]);
    assert!(matches!(reader.failure().await, ReadError::NoIndex));
    assert!(matches!(reader.failure().await, ReadError::Filtered));
    let denied = reader.failure().await;
    assert!(denied.to_string().contains("rpc error: EOF"), "{denied}");
    reader.state().await;
    let retries: Vec<_> = reader.log().iter().map(|query| query.retry).take(4).collect();
    assert_eq!(retries, [false, true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_given_up_at_the_deadline() {
    let fake = Fake::default();
    fake.script("", Script::Reply(reply(42, "{}")));
    fake.script("", Script::Silent);
    let mut reader = Reader::over(fake);
    reader.state().await;
    let started = Instant::now();
    let deadline = WAIT + WAIT / 16 + Duration::from_secs(5);
    assert!(matches!(reader.failure().await, ReadError::Deadline(limit) if limit == deadline));
    let took = started.elapsed();
    assert!(took >= deadline && took < deadline + Duration::from_millis(50), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn churn_is_read_in_a_burst_of_two_and_then_at_the_refill() {
    let reader = Reader::start((0..100).map(|step| reply(10 + step, "{}")));
    reader.asked(22).await;
    let log = reader.log();
    let at = |query: usize| log[query].at - log[0].at;
    assert!(at(1) < Duration::from_millis(2), "{:?}", at(1));
    let gap = at(21) / 20;
    assert!(gap >= Duration::from_micros(1800) && gap <= Duration::from_millis(4), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_ever_more_slowly_up_to_a_cap() {
    let fake = Fake::default();
    fake.change(|world| world.broken = Some(Broken::Refused));
    let reader = Reader::over(fake);
    reader.asked(20).await;
    let log = reader.log();
    let gaps: Vec<_> = log.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps[0] <= Duration::from_millis(110), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(50)), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(31)), "{gaps:?}");
    assert!(gaps[12..].iter().all(|gap| *gap >= Duration::from_secs(15)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_any_server_may_answer() {
    let leaderless = Reply { known_leader: false, ..reply(42, "{}") };
    let mut reader = Reader::start([status(500), leaderless, reply(43, "{}"), reply(44, "{}")]);
    reader.failure().await;
    assert!(!reader.state().await.known_leader);
    assert!(reader.state().await.known_leader);
    reader.state().await;
    let stale: Vec<_> = reader.log().iter().map(|query| query.stale).take(4).collect();
    assert_eq!(stale, [false, true, true, false]);
}
