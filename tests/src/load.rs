//! A load generator: keep-alive connections, each with one request on its way at any time.
//!
//! Any answer but 200 and any broken connection counts as a failed request.

use std::io::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Report {
    /// Time of each answered request, in microseconds and in order of length.
    pub micros: Vec<u32>,
    /// Answers other than 200.
    pub refused: u64,
    /// Connections that broke, with the reason of the first.
    pub broken: u64,
    /// The first problem, for a person.
    pub problem: Option<String>,
}

impl Report {
    /// Answered with 200.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.micros.len()
    }

    /// The time within which this share of the requests was answered.
    #[must_use]
    pub fn quantile(&self, percent: usize) -> Duration {
        let index = (self.micros.len() * percent / 100).min(self.micros.len().saturating_sub(1));
        Duration::from_micros(self.micros.get(index).copied().unwrap_or_default().into())
    }

    fn join(mut self, other: Self) -> Self {
        self.micros.extend(other.micros);
        self.refused += other.refused;
        self.broken += other.broken;
        self.problem = self.problem.or(other.problem);
        self
    }
}

/// Load that runs on a thread of its own until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Report>,
}

impl Load {
    /// Opens the connections and starts, each request as soon as the one before it is answered.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str, target: &str, connections: usize) -> Self {
        Self::with_headers(address, host, target, connections, "")
    }

    /// The same, with lines of the head that end in CR LF.
    #[must_use]
    pub fn with_headers(address: SocketAddr, host: &str, target: &str, connections: usize, headers: &str) -> Self {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        Self::paced(address, request, connections, None)
    }

    /// The same with lines of the head at a constant rate of requests a second. The time of a request that had to wait for the answer to the
    /// one before it counts from when it was due.
    #[must_use]
    pub fn at_rate(address: SocketAddr, host: &str, headers: &str, connections: usize, rate: u32) -> Self {
        let share = u32::try_from(connections).unwrap_or(u32::MAX);
        let pace = Duration::from_secs(1) * share / rate.max(1);
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        Self::paced(address, request, connections, Some(pace))
    }

    fn paced(address: SocketAddr, request: String, connections: usize, pace: Option<Duration>) -> Self {
        let request = request.into_bytes();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("start a runtime");
            let target = Target { address, request, pace };
            runtime.block_on(run(target, connections, shared.0, shared.1))
        });
        Self { stop, answered, thread }
    }

    /// How many requests were answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets the requests on their way finish and returns the report. Upstreams may go on answering meanwhile.
    ///
    /// # Panics
    /// When the load's thread panicked.
    pub async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join());
        joined.await.expect("wait for the load").expect("the load's thread")
    }
}

/// What each connection does.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    request: Vec<u8>,
    /// From one request to the next.
    pace: Option<Duration>,
}

/// When requests are due.
struct Pace {
    every: Option<Duration>,
    due: Instant,
}

impl Pace {
    /// Waits for the next, and returns when it began.
    async fn next(&mut self) -> Instant {
        let Some(every) = self.every else { return Instant::now() };
        let due = self.due;
        self.due += every;
        if due <= Instant::now() {
            return due;
        }
        tokio::time::sleep_until(due.into()).await;
        Instant::now()
    }
}

async fn run(target: Target, connections: usize, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Report {
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        // Spread, so that they do not ask all at once.
        let share = u32::try_from(number).unwrap_or_default();
        let offset = target.pace.unwrap_or_default() * share / u32::try_from(connections).unwrap_or(u32::MAX);
        let pace = Pace { every: target.pace, due: Instant::now() + offset };
        tasks.spawn(keep_asking(target.clone(), pace, Arc::clone(&stop), Arc::clone(&answered)));
    }
    let mut report = tasks.join_all().await.into_iter().fold(Report::default(), Report::join);
    report.micros.sort_unstable();
    report
}

async fn keep_asking(target: Target, mut pace: Pace, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Report {
    let mut report = Report::default();
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = ask_on_one_connection(&target, &mut pace, &stop, &answered, &mut report).await {
            report.broken += 1;
            report.problem.get_or_insert_with(|| error.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await; // a gateway that is down is not hammered
        }
    }
    report
}

async fn ask_on_one_connection(
    target: &Target,
    pace: &mut Pace,
    stop: &AtomicBool,
    answered: &AtomicU64,
    report: &mut Report,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while !stop.load(Ordering::Relaxed) {
        let start = pace.next().await;
        stream.write_all(&target.request).await?;
        let Answer { status, length, last } = read_answer(&mut stream, &mut buffer).await?;
        if status == 200 {
            report.micros.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
            answered.fetch_add(1, Ordering::Relaxed);
        } else {
            report.refused += 1;
            report.problem.get_or_insert_with(|| format!("status {status}"));
        }
        buffer.drain(..length);
        if last {
            break;
        }
    }
    Ok(())
}

struct Answer {
    status: u16,
    /// Of head and body.
    length: usize,
    /// The connection closes behind it.
    last: bool,
}

/// Reads one answer with a `Content-Length` into the buffer.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Answer> {
    let mut answer = None;
    loop {
        if answer.is_none()
            && let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&buffer[..end]);
            answer = Some(parse(&head).ok_or_else(|| Error::other(format!("an answer without a length: {head}")))?);
        }
        if let Some(answer) = answer.take_if(|answer| buffer.len() >= answer.length) {
            return Ok(answer);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(Error::other("the connection was closed before the whole answer"));
        }
    }
}

fn parse(head: &str) -> Option<Answer> {
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let (mut body, mut last) = (None, false);
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Some(Answer { status, length: head.len() + 4 + body?, last })
}
