//! The whole process: starts every part, waits for a signal, and takes everything down again in order.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::config::{self, Config, Problems};
use crate::control::{self, Control, Event, Members, Parts, Tracker};
use crate::http::{BodyLimits, Rules, Trust};
use crate::listener::{self, BindError, Entrypoint, Phase};
use crate::live::{Live, Transports};
use crate::proxy::{Settings, TcpSettings, Worker};
use crate::state::{Checks, Clock, Instances, Overload, Registry, Services, Shares, SystemClock};
use crate::telemetry::Telemetry;
use crate::tls::MeshMember;
use crate::upstream::{Connector, Pool, PoolLimits};
use crate::{admin, health, tls};

/// Reads the configuration again, as at the start.
pub type Reread = Box<dyn Fn() -> Result<Config, Problems> + Send>;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The sandbox cannot be set up.
    #[error("cannot start the plugin engine: {0}")]
    Engine(#[from] sluice_wasm::EngineError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The Consul client cannot be set up.
    #[error("cannot watch consul: {0}")]
    Consul(#[from] sluice_consul::ConsulError),
    /// The admin API cannot be served.
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> AppError {
    move |source| AppError::System { what, source }
}

/// An upstream's body may stall this long. Streams of events that are quiet for longer have to send comments, as the
/// specification of server-sent events advises for any proxy on the way.
const RESPONSE_IDLE: Duration = Duration::from_secs(300);

/// Runs the gateway until a signal ends it. The exit code tells whether everything under way could be finished.
///
/// # Errors
/// [`AppError`] where it cannot start; nothing has been served then.
pub fn run(config: Config, reread: Reread) -> Result<ExitCode, AppError> {
    let config = Arc::new(config);
    tls::install_provider();
    let worker_count = config.runtime.worker_count();
    let background = background_runtime().map_err(system("start the background runtime"))?;
    let (phase, phases) = watch::channel(Phase::Serving);
    let telemetry = Arc::new(Telemetry::new(&config, worker_count.get()).map_err(system("open the access log"))?);
    let (events, received) = channel();
    let listen = async { Signals::listen(Arc::clone(&telemetry), reread, events.clone()) };
    let mut signals = background.block_on(listen).map_err(system("listen for signals"))?;
    let live = Live::new(config.entrypoints.len());
    let tracker = Arc::new(Tracker::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let state = Arc::new(Registry::new(Arc::clone(&clock)));
    let (checks, announced) = Checks::new(Arc::clone(&clock));
    let transports = tls::transports(&config)?;
    health::start(&background, transports.clone(), announced);
    let instances = Arc::new(Instances::default());
    let sockets = bind_all(&config, worker_count)?;
    let entrypoints = entrypoints(&config)?;
    watch_certificates(&entrypoints, &telemetry).map_err(system("watch certificates"))?;

    let parts = Parts {
        config: Arc::clone(&config),
        live: live.clone(),
        engine: engine(&config)?,
        state: Arc::clone(&state),
        instances: Arc::clone(&instances),
        services: Arc::new(Services::new(clock)),
        checks: Arc::new(checks),
        telemetry: Arc::clone(&telemetry),
        tracker: Arc::clone(&tracker),
    };
    let control = Control::new(parts, &events).map_err(system("start compiling plugins"))?;
    let control =
        spawn("sluice-control", move || control.run(&received)).map_err(system("start the control thread"))?;
    start_sources(&config, &background, &events, &tracker, &transports)?;
    let view = admin::View {
        config: Arc::clone(&config),
        live: live.clone(),
        tracker: Arc::clone(&tracker),
        state,
        instances,
        telemetry: Arc::clone(&telemetry),
        phase: phases.clone(),
    };
    admin::serve(&background, view)?;
    let overload = watch_memory(&config, &background);
    let workers = start_workers(&config, transports, &live, &telemetry, &overload, entrypoints, sockets, &phases)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workers = workers.len(), "started");

    let drained = background.block_on(shut_down(&config, &mut signals, &phase, &workers));
    // Nobody is left to take events or to hear of a failed thread.
    events.send(Event::Stop).ok();
    control.join().ok();
    telemetry.flush();
    background.shutdown_timeout(Duration::from_millis(200));
    Ok(if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Providers, the admin API and signals: nothing a request waits for.
fn background_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("sluice-background").enable_all().build()
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

fn engine(config: &Config) -> Result<sluice_wasm::Engine, sluice_wasm::EngineError> {
    let cache = config.state.directory.as_ref().map(|directory| directory.join("compiled"));
    sluice_wasm::Engine::new(cache.as_deref())
}

/// For each worker, a socket for each entrypoint.
fn bind_all(config: &Config, workers: NonZeroUsize) -> Result<Vec<Vec<std::net::TcpListener>>, BindError> {
    let mut by_worker: Vec<Vec<_>> = (0..workers.get()).map(|_| Vec::new()).collect();
    for entrypoint in &config.entrypoints {
        let sockets = listener::bind(&entrypoint.name, entrypoint.address, workers.get())?;
        for (worker, socket) in by_worker.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    Ok(by_worker)
}

fn entrypoints(config: &Config) -> Result<Arc<[Arc<Entrypoint>]>, tls::TlsError> {
    let made = config.entrypoints.iter().enumerate().map(|(index, entrypoint)| {
        let rules = rules(entrypoint);
        let config::Entrypoint { name, tls, trusted_ips, proxy_protocol, limits, timeouts, .. } = entrypoint.clone();
        let permits = Arc::new(Semaphore::new(limits.connections.get().min(most_connections())));
        let is_tls = tls.is_some();
        let tls = Arc::new(tls::ServerTls::load(entrypoint, &config.tls)?);
        let trust = Arc::new(Trust { ranges: trusted_ips });
        let proxies = Trust { ranges: proxy_protocol.map(|proxies| proxies.trusted_ips).unwrap_or_default() };
        let name = name.into();
        Ok(Arc::new(Entrypoint { name, index, is_tls, tls, trust, proxies, rules, limits, timeouts, permits }))
    });
    made.collect()
}

/// Reads certificates again when their files change.
fn watch_certificates(entrypoints: &Arc<[Arc<Entrypoint>]>, telemetry: &Arc<Telemetry>) -> std::io::Result<()> {
    let show = |entrypoint: &Entrypoint, telemetry: &Telemetry| {
        let shown = entrypoint.tls.shown().into_iter().map(|shown| (shown.names, shown.not_after)).collect();
        telemetry.certificates(&entrypoint.name, shown);
    };
    for entrypoint in entrypoints.iter() {
        show(entrypoint, telemetry);
        let files = entrypoint.tls.files().map(Path::to_owned).collect();
        let (entrypoint, telemetry) = (Arc::clone(entrypoint), Arc::clone(telemetry));
        control::watch_files(files, move || {
            let result = entrypoint.tls.reload();
            telemetry.certificates_reloaded(&entrypoint.name, result.is_ok());
            match result {
                Ok(()) => tracing::info!(entrypoint = %entrypoint.name, "certificates read again"),
                Err(error) => tracing::error!(%error, "certificates not read again; those in force stay"),
            }
            show(&entrypoint, &telemetry);
        })?;
    }
    Ok(())
}

/// What the system's limit on open files allows: each connection may need one to an instance, and there are others.
fn most_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    (files / 5 * 2).clamp(1, Semaphore::MAX_PERMITS)
}

fn rules(entrypoint: &config::Entrypoint) -> Rules {
    let body = BodyLimits {
        idle: entrypoint.timeouts.body_idle.unwrap_or(Duration::MAX),
        bytes: entrypoint.limits.body_bytes.unwrap_or(u64::MAX),
        rate: entrypoint.limits.body_rate,
    };
    Rules {
        headers: entrypoint.limits.header_count,
        body,
        header_names: entrypoint.header_names,
        encoded_characters: entrypoint.encoded_characters,
        encode_query_semicolons: entrypoint.encode_query_semicolons,
    }
}

/// Everything events come from.
fn start_sources(
    config: &Config,
    background: &Runtime,
    events: &Sender<Event>,
    tracker: &Arc<Tracker>,
    transports: &Transports,
) -> Result<(), AppError> {
    if let Some(directory) = &config.plugins.directory {
        std::fs::create_dir_all(directory).map_err(system("create the plugin directory"))?;
        control::watch_plugins(directory.clone(), events.clone()).map_err(system("watch the plugin directory"))?;
    }
    if let Some(file) = &config.providers.file {
        let watching = control::watch_file(file.path.clone(), events.clone(), Arc::clone(tracker));
        watching.map_err(system("watch the catalog file"))?;
    }
    if let Some(consul) = &config.providers.consul_catalog {
        let members = control::watch_consul(consul, background, events.clone(), Arc::clone(tracker))?;
        background.spawn(follow_mesh(members, transports.clone(), consul.datacenter.clone()));
    }
    Ok(())
}

/// Speaks to members of the mesh by the certificate Consul has given last.
async fn follow_mesh(mut members: Members, transports: Transports, datacenter: Option<String>) {
    while members.changed().await.is_ok() {
        let Some(member) = members.borrow_and_update().clone() else { continue };
        let made = tls::mesh(MeshMember {
            authorities: &member.authorities,
            certificate: &member.certificate,
            key: &member.key,
            id: &member.id,
            datacenter: datacenter.as_deref(),
        });
        match made {
            Ok(mesh) => transports.join(mesh),
            Err(reason) => tracing::error!(%reason, id = member.id, "what Consul gave for the mesh cannot be used"),
        }
    }
}

/// Looks once a second how much memory is in use.
fn watch_memory(config: &Config, background: &Runtime) -> Arc<Overload> {
    let config::Overload { memory, idle_percent, keep_alive_percent, request_percent, connection_percent } =
        config.overload;
    let shares = Shares {
        rest: idle_percent,
        keep_alive: keep_alive_percent,
        requests: request_percent,
        connections: connection_percent,
    };
    let overload = Arc::new(Overload::default());
    overload.measure(memory, &shares);
    let measured = Arc::clone(&overload);
    background.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            measured.measure(memory, &shares);
        }
    });
    overload
}

#[expect(clippy::too_many_arguments, reason = "what every worker is given")]
fn start_workers(
    config: &Arc<Config>,
    transports: Transports,
    live: &Live,
    telemetry: &Arc<Telemetry>,
    overload: &Arc<Overload>,
    entrypoints: Arc<[Arc<Entrypoint>]>,
    sockets: Vec<Vec<std::net::TcpListener>>,
    phases: &watch::Receiver<Phase>,
) -> Result<Vec<JoinHandle<std::io::Result<()>>>, AppError> {
    let connector = Connector::new(transports.clone());
    let limits = PoolLimits {
        connect: config.upstream.connect_timeout,
        response: config.upstream.response_timeout.unwrap_or(Duration::MAX),
        idle: config.upstream.idle_timeout,
        most_idle: config.upstream.max_idle_per_instance,
    };
    let tcp = TcpSettings { connect: config.upstream.connect_timeout, transports };
    let close_spread = config.shutdown.close_spread.min(config.shutdown.drain);
    let mirror_credentials = config.upstream.mirror_credentials.clone().into();
    let settings = Settings { server_name: server_name(), response_idle: RESPONSE_IDLE, mirror_credentials, tcp };
    let started = sockets.into_iter().enumerate().map(|(number, sockets)| {
        let (connector, settings) = (connector.clone(), settings.clone());
        let (live, telemetry, overload) = (live.clone(), telemetry.worker(number), Arc::clone(overload));
        let make = move || Worker::new(settings, Pool::new(connector, limits), telemetry, overload, live.reader());
        listener::spawn_worker(number, Arc::clone(&entrypoints), sockets, phases.clone(), close_spread, make)
    });
    started.collect::<std::io::Result<_>>().map_err(system("start a worker"))
}

/// This machine's name, for `X-Forwarded-Server`.
fn server_name() -> HeaderValue {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    HeaderValue::from_str(name.trim()).unwrap_or(HeaderValue::from_static("sluice"))
}

/// The signals that end the gateway.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
    reread: Signal,
    telemetry: Arc<Telemetry>,
    configurations: Reread,
    events: Sender<Event>,
}

/// How a process is asked to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Finish what is under way.
    Politely,
    /// At once.
    Now,
}

impl Signals {
    fn listen(telemetry: Arc<Telemetry>, configurations: Reread, events: Sender<Event>) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
            reread: signal(SignalKind::hangup())?,
            telemetry,
            configurations,
            events,
        })
    }

    /// Waits to be asked to end; does what the other signals ask for meanwhile.
    async fn next(&mut self) -> Ask {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ask::Politely,
                _ = self.interrupt.recv() => return Ask::Now,
                _ = self.reopen.recv() => self.telemetry.reopen(),
                _ = self.reread.recv() => self.read_again(),
            }
        }
    }

    fn read_again(&self) {
        match (self.configurations)() {
            // Fails only once the control thread has been stopped.
            Ok(config) => drop(self.events.send(Event::Reload(Arc::new(config)))),
            Err(problems) => tracing::error!(%problems, "configuration refused; the one in force stays"),
        }
    }
}

/// Waits to be asked to end, then drains; answers whether everything under way was finished.
async fn shut_down(
    config: &Config,
    signals: &mut Signals,
    phase: &watch::Sender<Phase>,
    workers: &[JoinHandle<std::io::Result<()>>],
) -> bool {
    let asked = tokio::select! {
        asked = signals.next() => asked,
        () = until_one_ends(workers) => {
            tracing::error!("a worker thread has ended by itself");
            Ask::Now
        }
    };
    if asked == Ask::Now {
        phase.send_replace(Phase::Stopping);
        return true;
    }
    tracing::info!(pre_stop = ?config.shutdown.pre_stop, drain = ?config.shutdown.drain, "draining");
    phase.send_replace(Phase::Leaving);
    let impatient = tokio::select! {
        () = tokio::time::sleep(config.shutdown.pre_stop) => false,
        _ = signals.next() => true,
    };
    phase.send_replace(if impatient { Phase::Stopping } else { Phase::Draining });
    let deadline = Instant::now() + config.shutdown.drain;
    let drained = tokio::select! {
        drained = until_all_end(workers, deadline) => drained,
        _ = signals.next() => false,
    };
    phase.send_replace(Phase::Stopping);
    drained && !impatient
}

const LOOK: Duration = Duration::from_millis(20);

async fn until_one_ends(workers: &[JoinHandle<std::io::Result<()>>]) {
    while !workers.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(LOOK * 10).await;
    }
}

async fn until_all_end(workers: &[JoinHandle<std::io::Result<()>>], deadline: Instant) -> bool {
    while !workers.iter().all(JoinHandle::is_finished) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}
