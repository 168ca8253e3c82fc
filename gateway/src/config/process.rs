//! What concerns the process as a whole: `[state]`, `[upstream]`, `[shutdown]`, `[overload]`, `[runtime]`, `[log]`,
//! `[access-log]` and `[metrics]`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Node;
use super::reader::{Fault, Parsed, Section};
use super::values::{
    any_duration, choice, duration, duration_or_off, integer, list_of, nonempty, path, size_or_off, text,
};

/// `[state]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Last known good catalog and compiled plugins; none means that nothing is kept.
    pub directory: Option<PathBuf>,
}

/// `[upstream]`: how instances are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer; none means for ever.
    pub response_timeout: Option<Duration>,
    /// An unused connection is closed after this. Below what servers commonly allow, so that they rarely close first.
    pub idle_timeout: Duration,
    /// Unused connections kept for each instance, by each worker.
    pub max_idle_per_instance: usize,
    /// Mirrors, `name` or `name@provider`, whose copies keep `Authorization` and `Cookie`.
    pub mirror_credentials: Vec<String>,
}

/// `[shutdown]`: what SIGTERM begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Still accepting, but no longer ready, so that load balancers in front turn away.
    pub pre_stop: Duration,
    /// For exchanges to end after that.
    pub drain: Duration,
    /// The time over which unused connections are closed then, so that their clients do not all come back at once.
    pub close_spread: Duration,
}

/// `[overload]`: what is stopped when memory runs short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Bytes this process may use; what its control group or the machine has where it is none.
    pub memory: Option<u64>,
    /// From this share on, in percent, connections with nothing to do end soon.
    pub idle_percent: u32,
    /// From this share on connections end with the next answer.
    pub keep_alive_percent: u32,
    /// From this share on requests are answered 503.
    pub request_percent: u32,
    /// From this share on connections are closed unread.
    pub connection_percent: u32,
}

/// `[runtime]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Threads that serve requests; one for each core where it is none.
    pub workers: Option<NonZeroUsize>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives such as `info,sluice_gateway::control=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[access-log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub output: AccessLogOutput,
    /// How they look.
    pub format: AccessLogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogOutput {
    /// The standard output.
    Stdout,
    /// A file, appended to and reopened on SIGUSR1.
    File(PathBuf),
}

/// How lines of the access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Common log format as Traefik extends it.
    #[default]
    Common,
    /// One JSON object a line, with Traefik's field names.
    Json,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// What every name begins with, without the underscore after it.
    pub prefix: String,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            response_timeout: Some(Duration::from_secs(30)),
            idle_timeout: Duration::from_secs(55),
            max_idle_per_instance: 64,
            mirror_credentials: Vec::new(),
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        let [pre_stop, drain, close_spread] = [5, 30, 3].map(Duration::from_secs);
        Self { pre_stop, drain, close_spread }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self { memory: None, idle_percent: 85, keep_alive_percent: 92, request_percent: 95, connection_percent: 98 }
    }
}

impl Runtime {
    /// How many workers there are: as configured, or as many as this process may use cores.
    #[must_use]
    pub fn worker_count(&self) -> NonZeroUsize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

pub(super) fn state(root: &mut Section<'_>, base: &Path) -> State {
    let mut section = root.section_or_empty("state");
    let directory = section.read("directory", path(base));
    section.finish();
    State { directory }
}

pub(super) fn upstream(root: &mut Section<'_>) -> Upstream {
    let mut section = root.section_or_empty("upstream");
    let default = Upstream::default();
    let upstream = Upstream {
        connect_timeout: section.read_or("connect-timeout", default.connect_timeout, duration),
        response_timeout: section.read_or("response-timeout", default.response_timeout, duration_or_off),
        idle_timeout: section.read_or("idle-timeout", default.idle_timeout, duration),
        max_idle_per_instance: section
            .read("max-idle-per-instance", integer(0..=65_535_u32))
            .map_or(default.max_idle_per_instance, |count| count as usize),
        mirror_credentials: section.read_or("mirror-credentials", default.mirror_credentials, list_of(nonempty)),
    };
    section.finish();
    upstream
}

pub(super) fn shutdown(root: &mut Section<'_>) -> Shutdown {
    let mut section = root.section_or_empty("shutdown");
    let default = Shutdown::default();
    let shutdown = Shutdown {
        pre_stop: section.read_or("pre-stop", default.pre_stop, any_duration),
        drain: section.read_or("drain", default.drain, any_duration),
        close_spread: section.read_or("close-spread", default.close_spread, any_duration),
    };
    section.finish();
    shutdown
}

pub(super) fn overload(root: &mut Section<'_>) -> Overload {
    let mut section = root.section_or_empty("overload");
    let default = Overload::default();
    // More than all of it is never reached where the limit is a real one, which switches a step off.
    let percent = || integer(1..=10_000_u32);
    let overload = Overload {
        memory: section.read_or("memory", default.memory, size_or_off),
        idle_percent: section.read_or("idle-percent", default.idle_percent, percent()),
        keep_alive_percent: section.read_or("keep-alive-percent", default.keep_alive_percent, percent()),
        request_percent: section.read_or("request-percent", default.request_percent, percent()),
        connection_percent: section.read_or("connection-percent", default.connection_percent, percent()),
    };
    section.finish();
    overload
}

pub(super) fn runtime(root: &mut Section<'_>) -> Runtime {
    let mut section = root.section_or_empty("runtime");
    let workers = section.read("workers", integer(1..=1024_u32)).and_then(|count| NonZeroUsize::new(count as usize));
    section.finish();
    Runtime { workers }
}

pub(super) fn log(root: &mut Section<'_>) -> Log {
    let mut section = root.section_or_empty("log");
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        level: section.read_or("level", "info".to_owned(), log_level),
        format: section.read_or("format", LogFormat::Text, choice(&formats)),
    };
    section.finish();
    log
}

/// A word that is no level would be taken for the name of a module and silence everything.
fn log_level(node: &Node) -> Parsed<String> {
    let level = nonempty(node)?;
    let bare = level.trim();
    let is_word = !bare.contains(['=', ',', '[']);
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    if is_word && !known.contains(&bare.to_lowercase().as_str()) {
        return Fault::at(&node.place, format!("`{level}` is not a level"))
            .hint("write error, warn, info, debug, trace, off, or directives such as `info,hyper=debug`")
            .into();
    }
    match tracing_subscriber::EnvFilter::builder().parse(bare) {
        Ok(_) => Ok(bare.to_owned()),
        Err(error) => Fault::at(&node.place, format!("`{level}` is not a level: {error}")).into(),
    }
}

pub(super) fn access_log(root: &mut Section<'_>, base: &Path) -> Option<AccessLog> {
    let mut section = root.section("access-log")?;
    let formats = [("common", AccessLogFormat::Common), ("json", AccessLogFormat::Json)];
    let output = section.read_or("output", Some(AccessLogOutput::Stdout), |node| {
        Ok(match text(node)?.trim() {
            "" | "off" => None,
            "stdout" => Some(AccessLogOutput::Stdout),
            file => Some(AccessLogOutput::File(base.join(file))),
        })
    });
    let format = section.read_or("format", AccessLogFormat::Common, choice(&formats));
    section.finish();
    output.map(|output| AccessLog { output, format })
}

pub(super) fn metrics(root: &mut Section<'_>) -> Metrics {
    let mut section = root.section_or_empty("metrics");
    let prefix = section.read_or("prefix", "sluice".to_owned(), |node| {
        let prefix = nonempty(node)?;
        let mut letters = prefix.chars();
        let first_is_right = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if first_is_right && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Ok(prefix);
        }
        Fault::at(&node.place, format!("`{prefix}` cannot begin a metric's name"))
            .hint("use letters, digits and underscores, beginning with a letter")
            .into()
    });
    section.finish();
    Metrics { prefix }
}
