//! The watcher: runs the polls, merges their news, publishes snapshots, keeps the status.
//!
//! One task owns all state; polls are tasks of their own that only send messages, and end with their lease.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sluice_model::Catalog;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::agent::{Agent, HttpAgent, Source};
use crate::blocking::{Message, Meta, News, Poll, Shared, State};
use crate::config::ConsulConfig;
use crate::error::{ConsulError, ReadError};
use crate::merge::{Interest, Merge, Polls};
use crate::mesh::Mesh;
use crate::status::{Failure, Handle, HeldRemoval, Status};
use crate::wire::Instances;

/// Messages under way: enough for a burst, few enough that polls wait for a busy watcher.
const QUEUE: usize = 64;

/// Services that are registered together should be routed together: a snapshot waits this long for the first answers
/// of services that are new in the list. They take a few milliseconds; a service that cannot be read holds up no more.
const FIRST_ANSWERS: Duration = Duration::from_millis(200);

/// Follows one agent.
pub struct Watcher {
    engine: Engine<HttpAgent>,
}

/// The watcher over any agent.
pub(crate) struct Engine<A> {
    shared: Arc<Shared<A>>,
    merge: Merge,
    list: Option<Lease>,
    mesh: Mesh,
    /// The service this process is in the mesh.
    member: Option<Arc<str>>,
    mesh_polls: Vec<(Source, Lease)>,
    polls: HashMap<Arc<str>, Lease>,
    next_poll: u64,
    out: mpsc::Sender<Message>,
    news: mpsc::Receiver<Message>,
    min_interval: Duration,
    /// When a snapshot may be published next.
    publish_at: Instant,
    /// Until when snapshots wait for the first answers of services that were listed last.
    complete_by: Instant,
    status: Status,
    reader: watch::Sender<Arc<Status>>,
    accept: Arc<Notify>,
}

/// A running poll; it ends when this is dropped.
struct Lease {
    id: u64,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Checks the configuration and reads its TLS files; connects to nothing yet.
    ///
    /// `interest` is asked of each service in the registry, with the tags of all its instances together, and again when
    /// these tags change. A service it declines costs nothing and is not in the snapshots.
    ///
    /// # Errors
    ///
    /// Whatever can be found wrong without speaking to the agent.
    pub fn new<I: Into<Interest>>(
        config: ConsulConfig,
        interest: impl Fn(&str, &[String]) -> I + Send + 'static,
    ) -> Result<Self, ConsulError> {
        config.check()?;
        let agent = HttpAgent::new(&config)?;
        Ok(Self { engine: Engine::new(agent, &config, interest) })
    }

    /// For the admin API.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Calls `publish` with every new snapshot, the first one after the first complete listing. Services that did not
    /// change keep their pointers from one snapshot to the next. `publish` should be quick: the watcher waits for it.
    /// Runs until it is dropped, whatever Consul does.
    pub async fn run(self, publish: impl FnMut(Arc<Catalog>) + Send) -> Infallible {
        self.engine.run(publish).await
    }
}

impl<A: Agent> Engine<A> {
    pub(crate) fn new<I: Into<Interest>>(
        agent: A,
        config: &ConsulConfig,
        interest: impl Fn(&str, &[String]) -> I + Send + 'static,
    ) -> Self {
        let (out, news) = mpsc::channel(QUEUE);
        let status = Status { stale: config.stale, ..Status::default() };
        Self {
            shared: Arc::new(Shared::new(agent, config.wait, config.stale, config.max_watches)),
            merge: Merge::new(Box::new(move |name, tags| interest(name, tags).into()), config.hold_max),
            list: None,
            mesh: Mesh::new(),
            member: config.member.as_deref().map(Arc::from),
            mesh_polls: Vec::new(),
            polls: HashMap::new(),
            next_poll: 0,
            out,
            news,
            min_interval: config.min_interval,
            publish_at: Instant::now(),
            complete_by: Instant::now(),
            reader: watch::Sender::new(Arc::new(status.clone())),
            status,
            accept: Arc::default(),
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle { member: self.mesh.subscribe(), status: self.reader.subscribe(), accept: Arc::clone(&self.accept) }
    }

    pub(crate) async fn run(mut self, mut publish: impl FnMut(Arc<Catalog>) + Send) -> Infallible {
        self.list = Some(self.poll(Source::Services));
        self.follow_mesh();
        let accept = Arc::clone(&self.accept);
        loop {
            let due = self.due();
            tokio::select! {
                Some(message) = self.news.recv() => {
                    self.take(message);
                    // What has come in the meantime shares the snapshot, but cannot put it off for ever.
                    for _ in 0..QUEUE {
                        let Ok(message) = self.news.try_recv() else { break };
                        self.take(message);
                    }
                }
                () = accept.notified() => self.merge.accept(),
                () = sleep_until(due), if self.merge.is_changed() => {}
            }
            let catalog = self.next_catalog();
            // First, so that whoever sees a snapshot never sees a status older than it.
            self.report();
            if let Some(catalog) = catalog {
                publish(catalog);
            }
        }
    }

    fn take(&mut self, message: Message) {
        if !self.is_current(&message) {
            return;
        }
        match message.news {
            News::State(State::Services(listing), meta) => {
                self.heard(&message.source, meta);
                let polls = self.merge.listed(listing, meta, Instant::now());
                self.follow(polls);
                if self.merge.is_any_returning() {
                    self.complete_by = Instant::now() + FIRST_ANSWERS;
                }
            }
            News::State(State::Service(instances), meta) => {
                self.heard(&message.source, meta);
                self.answered(&message.source, instances, meta);
            }
            News::State(State::Authorities(authorities), meta) => {
                self.heard(&message.source, meta);
                self.mesh.believes(authorities);
            }
            News::State(State::Certificate(certificate), meta) => {
                self.heard(&message.source, meta);
                self.mesh.shows(certificate);
            }
            News::Same(meta) => {
                self.heard(&message.source, meta);
                match &message.source {
                    Source::Services => self.merge.still_listed(meta, Instant::now()),
                    Source::Service(name) | Source::Members(name) => self.merge.still(name, meta, Instant::now()),
                    Source::Authorities | Source::Certificate(_) => {}
                }
            }
            News::Failed(error) => self.failed(&message.source, &error),
        }
    }

    /// A poll that was ended may have left a message behind.
    fn is_current(&self, message: &Message) -> bool {
        let lease = match &message.source {
            Source::Services => self.list.as_ref(),
            Source::Service(name) | Source::Members(name) => self.polls.get(name),
            Source::Authorities | Source::Certificate(_) => {
                self.mesh_polls.iter().find(|(source, _)| *source == message.source).map(|(_, lease)| lease)
            }
        };
        lease.is_some_and(|lease| lease.id == message.poll)
    }

    fn answered(&mut self, source: &Source, read: Instances, meta: Meta) {
        let Some(name) = source.service() else { return };
        if read.refused.is_empty() {
            self.status.refused.remove(&**name);
        } else if self.status.refused.get(&**name) != Some(&read.refused) {
            tracing::warn!(service = %name, refused = ?read.refused, "consul entries make no sense and are left out");
            self.status.refused.insert(name.to_string(), read.refused);
        }
        self.merge.answered(name, read.instances, meta, Instant::now());
    }

    /// A good answer.
    fn heard(&mut self, source: &Source, meta: Meta) {
        self.status.last_contact = Some(SystemTime::now());
        if source.is_of_the_mesh() {
            self.status.failing.remove(&source.to_string());
            return;
        }
        self.status.known_leader = meta.known_leader;
        match source {
            Source::Services => {
                if meta.backwards {
                    tracing::warn!(
                        from = self.status.index,
                        to = meta.index,
                        "consul's index went backwards: removals are held back"
                    );
                }
                if !self.status.reachable && self.status.last_error.is_some() {
                    tracing::info!("consul answers again");
                }
                self.status.reachable = true;
                self.status.index = meta.index;
                self.status.staleness = meta.last_contact;
            }
            _ => {
                self.status.failing.remove(source.service().map_or("", |name| &**name));
            }
        }
    }

    fn failed(&mut self, source: &Source, error: &ReadError) {
        let failure = Failure { message: format!("read the {source}: {error}"), at: SystemTime::now() };
        let known = match source {
            Source::Services => {
                self.merge.unlisted();
                let known = !self.status.reachable && self.status.last_error.is_some();
                self.status.reachable = false;
                known
            }
            Source::Authorities | Source::Certificate(_) => {
                self.status.failing.insert(source.to_string(), failure.clone()).is_some()
            }
            Source::Service(name) | Source::Members(name) => {
                if error.is_final() {
                    self.merge.unreadable(name);
                }
                self.status.failing.insert(name.to_string(), failure.clone()).is_some()
            }
        };
        // Once per outage, not once per retry.
        if !known {
            tracing::warn!(error = %failure.message, "the last good state stays");
        }
        self.status.last_error = Some(failure);
    }

    fn follow(&mut self, polls: Polls) {
        for name in polls.stop {
            self.polls.remove(&name);
            self.status.failing.remove(&*name);
            self.status.refused.remove(&*name);
        }
        if !polls.start.is_empty() {
            self.complete_by = Instant::now() + FIRST_ANSWERS;
        }
        for name in polls.start {
            let source = match self.merge.interest(&name) {
                Interest::Members => Source::Members(Arc::clone(&name)),
                Interest::Instances | Interest::None => Source::Service(Arc::clone(&name)),
            };
            let lease = self.poll(source);
            self.polls.insert(name, lease);
        }
        self.shared.set_polls(self.polls.len());
    }

    /// What the mesh knows its members by, where this process is one.
    fn follow_mesh(&mut self) {
        let Some(member) = self.member.clone() else { return };
        for source in [Source::Authorities, Source::Certificate(member)] {
            let lease = self.poll(source.clone());
            self.mesh_polls.push((source, lease));
        }
    }

    fn poll(&mut self, source: Source) -> Lease {
        self.next_poll += 1;
        let id = self.next_poll;
        let poll = Poll::new(Arc::clone(&self.shared), source, id, self.out.clone());
        Lease { id, task: tokio::spawn(poll.run()) }
    }

    /// When what was learnt may be published.
    fn due(&self) -> Instant {
        if self.merge.waits_for_answers() { self.publish_at.max(self.complete_by) } else { self.publish_at }
    }

    /// The first change goes out at once, those right behind it together.
    fn next_catalog(&mut self) -> Option<Arc<Catalog>> {
        let now = Instant::now();
        if !self.merge.is_changed() || now < self.due() {
            return None;
        }
        let catalog = self.merge.catalog(now)?;
        self.publish_at = now + self.min_interval;
        self.status.snapshots += 1;
        self.status.published_services = catalog.services.len();
        self.status.published_instances = catalog.services.values().map(|service| service.instances.len()).sum();
        Some(catalog)
    }

    fn report(&mut self) {
        self.status.services = self.merge.listed_count();
        self.status.watched = self.merge.watched_count();
        self.status.held_removals = self
            .merge
            .held()
            .map(|(service, held)| HeldRemoval {
                service: service.to_owned(),
                instance: held.instance.id.clone(),
                reason: held.reason,
                since: held.since_wall,
            })
            .collect();
        let status = &self.status;
        self.reader.send_if_modified(|shown| {
            let differs = **shown != *status;
            if differs {
                *shown = Arc::new(status.clone());
            }
            differs
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ReadError;
    use crate::tests::fake::Fake;

    #[tokio::test]
    async fn a_message_counts_while_its_poll_is_the_current_one() {
        let mut engine = Engine::new(Fake::default(), &ConsulConfig::default(), |_, _| true);
        let name: Arc<str> = "web".into();
        let start = || Polls { start: vec![Arc::clone(&name)], stop: Vec::new() };
        let source = || Source::Service(Arc::clone(&name));
        let from = |poll| Message { poll, source: source(), news: News::Failed(ReadError::NoIndex) };
        engine.follow(start());
        assert!(engine.is_current(&from(1)));
        engine.follow(start());
        assert!(!engine.is_current(&from(1)) && engine.is_current(&from(2)));
        engine.follow(Polls { start: Vec::new(), stop: vec![Arc::clone(&name)] });
        assert!(!engine.is_current(&from(2)));
    }
}
