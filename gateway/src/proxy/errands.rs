//! What has to be done beside the exchanges: requests of plugins, and telling waiting plugins how exchanges ended.
//!
//! Takes jobs from anywhere on the worker's thread, also from where nothing can be waited for; each runs as a task of its
//! own. A request is given up when nobody waits for its answer any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use sluice_wasm::{Outbound, OutboundAnswer, OutboundRequest, OutboundResponse, Outcome};
use tokio::sync::{mpsc, oneshot};

use super::{Worker, outbound};
use crate::policy::Passed;

/// A worker's errands. Nothing runs until the first one.
pub(crate) struct Errands {
    jobs: mpsc::UnboundedSender<Job>,
    waiting: RefCell<Option<mpsc::UnboundedReceiver<Job>>>,
}

enum Job {
    Send(OutboundRequest, oneshot::Sender<Result<OutboundResponse, String>>),
    Complete(Box<Ended>),
}

/// How an exchange ended, for a policy that may wait.
pub(super) struct Ended {
    pub(super) passed: Passed,
    pub(super) outcome: Outcome<'static>,
    pub(super) instance: Box<str>,
}

impl Errands {
    pub(super) fn new() -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        Self { jobs, waiting: RefCell::new(Some(waiting)) }
    }

    /// The way out for plugins.
    pub(super) fn outbound(&self) -> Arc<dyn Outbound> {
        Arc::new(Way(self.jobs.clone()))
    }

    /// Begins to run errands. To be called from a task of the worker.
    pub(super) fn start(&self, worker: &Rc<Worker>) {
        if let Some(mut waiting) = self.waiting.borrow_mut().take() {
            let worker = Rc::downgrade(worker);
            tokio::task::spawn_local(async move {
                while let (Some(job), Some(worker)) = (waiting.recv().await, worker.upgrade()) {
                    tokio::task::spawn_local(run(worker, job));
                }
            });
        }
    }

    /// Tells a policy how an exchange ended.
    pub(super) fn complete(&self, ended: Ended) {
        // Where nobody runs errands any more nobody counts either.
        self.jobs.send(Job::Complete(Box::new(ended))).ok();
    }
}

async fn run(worker: Rc<Worker>, job: Job) {
    match job {
        Job::Send(request, mut answer) => {
            let done = tokio::select! {
                done = outbound::send(&worker, request) => done,
                () = answer.closed() => return,
            };
            // Whoever has gone away meanwhile does not need it.
            answer.send(done).ok();
        }
        Job::Complete(ended) => {
            let outcome = Outcome { instance: &ended.instance, ..ended.outcome };
            worker.instances.on_complete_waiting(&ended.passed, outcome).await;
        }
    }
}

/// Plugins call from their fibers, which know nothing of threads.
struct Way(mpsc::UnboundedSender<Job>);

impl Outbound for Way {
    fn send(&self, request: OutboundRequest) -> OutboundAnswer {
        let (answer, waiting) = oneshot::channel();
        let sent = self.0.send(Job::Send(request, answer));
        Box::pin(async move {
            let gone = || "the gateway is going away".to_owned();
            sent.map_err(|_| gone())?;
            waiting.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}
