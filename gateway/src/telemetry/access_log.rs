//! The access log: one line a request, written by one thread.
//!
//! A worker formats into a buffer of its own, which the writer's thread takes away twice a second, or sooner when it
//! fills. The lock on a buffer is thus free nearly always, and a disk that stalls makes lines be dropped and counted, not
//! requests wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, SystemTime};

use hyper::Version;

use super::access_line::{self, Stamp};
use crate::config::{AccessLog, AccessLogFormat, AccessLogOutput};

/// How long a line waits at most.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// The writer is woken when a buffer holds this much.
const WAKE_BYTES: usize = 64 << 10;
/// Lines are dropped while a buffer holds this much.
const MAX_BYTES: usize = 4 << 20;

/// What a line tells.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// Who asked.
    pub client: Option<SocketAddr>,
    /// When the request arrived.
    pub started: SystemTime,
    /// From then to the last byte of the answer.
    pub duration: Duration,
    /// How much of that the instance took to answer.
    pub origin_duration: Option<Duration>,
    /// As sent.
    pub method: &'a str,
    /// With its query, as sent.
    pub path: &'a str,
    /// `HTTP/1.1` and the like, or `TCP`.
    pub protocol: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// As sent, with its port.
    pub host: Option<&'a str>,
    /// What the client got.
    pub status: u16,
    /// What the instance answered.
    pub origin_status: Option<u16>,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// The header of that name.
    pub referer: Option<&'a [u8]>,
    /// The header of that name.
    pub user_agent: Option<&'a [u8]>,
    /// Where it arrived.
    pub entrypoint: &'a str,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// The service it leads to.
    pub service: Option<&'a str>,
    /// The instance, as a URL.
    pub server_url: Option<&'a str>,
    /// Attempts after the first.
    pub retries: u32,
    /// Absent on plain connections.
    pub tls_version: Option<&'a str>,
    /// Why it failed.
    pub flag: Option<&'a str>,
    /// What policies noted.
    pub annotations: &'a [(String, String)],
}

/// How a version of HTTP is written.
#[must_use]
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The log as a whole.
#[derive(Debug)]
pub struct AccessLogWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One worker's side of it.
#[derive(Debug)]
pub(super) struct WorkerLog {
    shared: Arc<Shared>,
    buffer: Arc<Mutex<Buffer>>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    format: AccessLogFormat,
    buffers: Mutex<Vec<Arc<Mutex<Buffer>>>>,
    requests: AtomicU64,
    dropped: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    writer: Thread,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
    stamp: Stamp,
}

/// Where lines end up.
enum Output {
    Stdout,
    File { path: PathBuf, file: File },
}

impl AccessLogWriter {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread be started.
    pub fn start(config: &AccessLog) -> io::Result<Self> {
        let output = Output::open(&config.output)?;
        let (hand_over, take) = std::sync::mpsc::sync_channel::<Arc<Shared>>(1);
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            if let Ok(shared) = take.recv() {
                shared.run(output);
            }
        })?;
        let shared = Arc::new(Shared {
            format: config.format,
            buffers: Mutex::default(),
            requests: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            writer: thread.thread().clone(),
        });
        // It waits for just this, so it is there to take it.
        let _ = hand_over.send(Arc::clone(&shared));
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// A worker's side of it.
    pub(super) fn worker(&self) -> WorkerLog {
        let buffer = Arc::<Mutex<Buffer>>::default();
        lock(&self.shared.buffers).push(Arc::clone(&buffer));
        WorkerLog { shared: Arc::clone(&self.shared), buffer, writer: self.shared.writer.clone() }
    }

    /// Opens the file again, after it was moved away. Lines before this moment still go into the old one.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.shared.writer.unpark();
    }

    /// Lines that were not written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what there is and ends the thread. Lines that come later are lost.
    pub fn close(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.writer.unpark();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the writer was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for AccessLogWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl WorkerLog {
    pub(super) fn write(&self, record: &AccessRecord<'_>) {
        let count = self.shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut buffer = lock(&self.buffer);
        let before = buffer.bytes.len();
        if before >= MAX_BYTES {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Buffer { bytes, lines, stamp } = &mut *buffer;
        match self.shared.format {
            AccessLogFormat::Common => access_line::common(bytes, record, count, stamp),
            AccessLogFormat::Json => access_line::json(bytes, record, count),
        }
        *lines += 1;
        let is_time = before < WAKE_BYTES && bytes.len() >= WAKE_BYTES;
        drop(buffer);
        if is_time {
            self.writer.unpark();
        }
    }
}

impl Shared {
    fn run(&self, mut output: Output) {
        let mut spare = Vec::new();
        loop {
            let is_last = self.stop.load(Ordering::Acquire);
            let must_reopen = self.reopen.swap(false, Ordering::AcqRel);
            self.write_all(&mut output, &mut spare);
            if must_reopen && let Err(error) = output.reopen() {
                tracing::warn!(%error, "opening the access log again failed, going on with the old file");
            }
            if is_last {
                return;
            }
            std::thread::park_timeout(FLUSH_INTERVAL);
        }
    }

    /// Takes every buffer away and leaves an empty one.
    fn write_all(&self, output: &mut Output, spare: &mut Vec<u8>) {
        let buffers = lock(&self.buffers).clone();
        for buffer in buffers {
            spare.clear();
            let lines = {
                let mut buffer = lock(&buffer);
                std::mem::swap(&mut buffer.bytes, spare);
                std::mem::take(&mut buffer.lines)
            };
            if !spare.is_empty() && output.write(spare).is_err() {
                // A full disk would fill the log with its own complaints; the metric tells.
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
        }
    }
}

impl Output {
    fn open(output: &AccessLogOutput) -> io::Result<Self> {
        match output {
            AccessLogOutput::Stdout => Ok(Self::Stdout),
            AccessLogOutput::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                Ok(Self::File { path: path.clone(), file })
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, .. } = self {
            *self = Self::open(&AccessLogOutput::File(path.clone()))?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }
}

/// A buffer is never left half-written by a panic that matters: at worst one line is cut.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn record(path: &str) -> AccessRecord<'_> {
        AccessRecord {
            client: None,
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            origin_duration: None,
            method: "GET",
            path,
            protocol: "HTTP/1.1",
            scheme: "http",
            host: None,
            status: 200,
            origin_status: None,
            received: 0,
            sent: 0,
            referer: None,
            user_agent: None,
            entrypoint: "web",
            route: None,
            service: None,
            server_url: None,
            retries: 0,
            tls_version: None,
            flag: None,
            annotations: &[],
        }
    }

    /// A directory of its own for each test, gone at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn start(path: &std::path::Path) -> AccessLogWriter {
        let output = AccessLogOutput::File(path.to_owned());
        AccessLogWriter::start(&AccessLog { output, format: AccessLogFormat::Common }).unwrap()
    }

    #[test]
    fn every_line_of_every_worker_is_written_before_close_returns() {
        let directory = Directory::new("access");
        let path = directory.0.join("access.log");
        let log = start(&path);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let worker = log.worker();
                scope.spawn(move || (0..5_000).for_each(|_| worker.write(&record("/"))));
            }
        });
        log.close();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 20_000);
        assert!(
            text.lines().all(|line| line.starts_with("- - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.1\" 200 0 "))
        );
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_moved_file_is_opened_again() {
        let directory = Directory::new("reopen");
        let (path, moved) = (directory.0.join("access.log"), directory.0.join("access.log.1"));
        let log = start(&path);
        let worker = log.worker();
        worker.write(&record("/before"));
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        worker.write(&record("/after"));
        log.close();
        assert!(std::fs::read_to_string(&moved).unwrap().contains("/before"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("/after") && !text.contains("/before"), "{text}");
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let directory = Directory::new("bound");
        let log = start(&directory.0.join("access.log"));
        let worker = log.worker();
        // The writer may take the buffer away between any two lines, but not while it is held.
        let held = Arc::clone(&worker.buffer);
        let full = vec![b'x'; MAX_BYTES];
        let mut tries = 0;
        while log.dropped() == 0 {
            lock(&held).bytes.clone_from(&full);
            worker.write(&record("/"));
            tries += 1;
            assert!(tries < 1_000_000, "never dropped");
        }
        assert!(lock(&worker.buffer).bytes.len() <= MAX_BYTES);
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_so() {
        let output = AccessLogOutput::File("/nonexistent/directory/access.log".into());
        assert!(AccessLogWriter::start(&AccessLog { output, format: AccessLogFormat::Json }).is_err());
    }
}
