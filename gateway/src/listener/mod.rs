//! Steps 1 and 2 of a request: worker threads, their sockets, and connections up to the first byte of HTTP.
//!
//! Takes addresses; gives each parsed request to `proxy`. One thread a core, each with its own runtime and its own
//! `SO_REUSEPORT` socket for every entrypoint, so that a connection never leaves the thread it was accepted on. It
//! never looks into a request.

mod bind;
mod connection;
mod drain;
mod life;
mod opening;
mod proxied;
mod sniff;
mod streams;

pub use bind::{BindError, bind};

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::config::{Limits, Timeouts};
use crate::http::{Rules, Trust};
use crate::proxy::Worker;
use crate::state::{Shortage, give_memory_back};
use crate::tls::ServerTls;
use drain::Drain;

/// An entrypoint as workers see it.
pub struct Entrypoint {
    /// Its name.
    pub name: Arc<str>,
    /// Its position in the configuration.
    pub index: usize,
    /// Whether every connection is TLS.
    pub is_tls: bool,
    /// For the connections that are.
    pub tls: Arc<ServerTls>,
    /// Whose forwarding headers are believed.
    pub trust: Arc<Trust>,
    /// Who speaks the PROXY protocol.
    pub proxies: Trust,
    /// What requests may be.
    pub rules: Rules,
    /// How much a client may send.
    pub limits: Limits,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// One for each connection that may be open.
    pub permits: Arc<Semaphore>,
}

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accept and serve.
    Serving,
    /// The same, but not ready: load balancers in front are to look elsewhere.
    Leaving,
    /// Accept nothing, finish what is under way.
    Draining,
    /// Stop at once.
    Stopping,
}

/// How often a worker lets go of what is not used any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long accepting rests after it failed, as it does when file descriptors run out.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Starts a worker thread. `make` builds the worker on that thread; `sockets` belong to `entrypoints` in order. The
/// thread ends once it has been told to drain and its last connection is closed, or to stop. Connections that are not in
/// use are closed within `close_spread` then.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn_worker(
    number: usize,
    entrypoints: Arc<[Arc<Entrypoint>]>,
    sockets: Vec<StdListener>,
    phase: watch::Receiver<Phase>,
    close_spread: Duration,
    make: impl FnOnce() -> Rc<Worker> + Send + 'static,
) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name(format!("sluice-worker-{number}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
        runtime.block_on(run(entrypoints, sockets, phase, close_spread, make()))
    })
}

async fn run(
    entrypoints: Arc<[Arc<Entrypoint>]>,
    sockets: Vec<StdListener>,
    mut phase: watch::Receiver<Phase>,
    close_spread: Duration,
    worker: Rc<Worker>,
) -> std::io::Result<()> {
    let drain = Rc::new(Drain::over(close_spread));
    for (entrypoint, socket) in entrypoints.iter().zip(sockets) {
        let listener = TcpListener::from_std(socket)?;
        tokio::task::spawn_local(accept_all(listener, Arc::clone(entrypoint), Rc::clone(&worker), Rc::clone(&drain)));
    }
    tokio::task::spawn_local(crate::timer::turn_for_ever(Worker::note_lag));
    tokio::task::spawn_local(sweep_now_and_then(Rc::clone(&worker), Rc::clone(&drain)));
    // An error means that nobody is left to tell.
    let over = |phase: &Phase| matches!(phase, Phase::Draining | Phase::Stopping);
    let draining = phase.wait_for(over).await.is_ok_and(|phase| *phase == Phase::Draining);
    drain.begin();
    if draining {
        tokio::select! {
            () = drain.finished() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
        }
    }
    Ok(())
}

async fn accept_all(listener: TcpListener, entrypoint: Arc<Entrypoint>, worker: Rc<Worker>, drain: Rc<Drain>) {
    loop {
        let permit = Arc::clone(&entrypoint.permits).acquire_owned();
        let accepted = tokio::select! {
            biased;
            () = drain.begun() => return,
            accepted = async { (permit.await, listener.accept().await) } => accepted,
        };
        let (Ok(permit), Ok((stream, peer))) = accepted else {
            worker.telemetry.rejected("accept");
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        if worker.overload.shortage() == Shortage::Connections {
            worker.telemetry.rejected("memory");
            continue;
        }
        let (entrypoint, worker, connection) = (Arc::clone(&entrypoint), Rc::clone(&worker), drain.enter());
        tokio::task::spawn_local(async move {
            connection::serve(worker, &entrypoint, stream, peer, &connection).await;
            drop((permit, connection));
        });
    }
}

async fn sweep_now_and_then(worker: Rc<Worker>, drain: Rc<Drain>) {
    let mut was_short = false;
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        worker.sweep();
        give_memory_back();
        let is_short = worker.overload.shortage() >= Shortage::Rest;
        if is_short && !was_short {
            drain.stir();
        }
        was_short = is_short;
    }
}
