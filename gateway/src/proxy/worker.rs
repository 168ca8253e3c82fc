//! What one worker thread owns. Nothing of it is shared, so nothing of it is locked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::errands::Errands;
use crate::live::{Generation, Reader, Transports};
use crate::policy::Instances;
use crate::state::{Overload, note_loop_lag};
use crate::telemetry::WorkerTelemetry;
use crate::upstream::Pool;

/// One worker's side of the data plane.
pub struct Worker {
    /// Limits and names.
    pub settings: Settings,
    pub(crate) pool: Pool,
    pub(crate) instances: Instances,
    pub(crate) errands: Errands,
    pub(crate) telemetry: WorkerTelemetry,
    pub(crate) overload: Arc<Overload>,
    /// Copies of requests under way.
    pub(crate) copies: Cell<u32>,
    reader: RefCell<Reader>,
}

/// What every worker is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This gateway's name, for `X-Forwarded-Server`.
    pub server_name: HeaderValue,
    /// An upstream's body may stall this long.
    pub response_idle: Duration,
    /// Mirrors whose copies keep what proves who the client is.
    pub mirror_credentials: Arc<[String]>,
    /// How TCP services are reached.
    pub tcp: TcpSettings,
}

/// How TCP services are reached.
#[derive(Clone, Debug)]
pub struct TcpSettings {
    /// A connection has to be there after this long.
    pub connect: Duration,
    /// How TLS is spoken to targets that speak it.
    pub transports: Transports,
}

impl Worker {
    /// A worker with empty pools.
    #[must_use]
    pub fn new(
        settings: Settings,
        pool: Pool,
        telemetry: WorkerTelemetry,
        overload: Arc<Overload>,
        reader: Reader,
    ) -> Rc<Self> {
        let (errands, copies, reader) = (Errands::new(), Cell::new(0), RefCell::new(reader));
        let instances = Instances::new(errands.outbound());
        Rc::new(Self { settings, pool, instances, errands, telemetry, overload, copies, reader })
    }

    /// What is in force now; a request asks once and keeps the answer to its end.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(self.reader.borrow_mut().load())
    }

    /// Notes how late this thread's timers are, for policies that ask how busy it is.
    pub fn note_lag(late: Duration) {
        note_loop_lag(late);
    }

    /// Lets go of what is not used any more. To be called every few seconds.
    pub fn sweep(&self) {
        // Drops the generation before, should no request have come since.
        drop(self.generation());
        self.pool.sweep();
        self.instances.sweep();
    }
}
