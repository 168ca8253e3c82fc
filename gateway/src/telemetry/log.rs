//! The gateway's own log: on the standard error, as text or JSON, with a level that can be changed while it runs.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Changes the level.
#[derive(Clone, Debug)]
pub struct LogLevel {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Why the log cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a level.
    #[error("setting the log level to `{level}`: {reason}")]
    Level {
        /// As given.
        level: String,
        /// In words.
        reason: String,
    },
    /// Twice in one process.
    #[error("starting the log")]
    Started(#[from] TryInitError),
}

/// Starts the log of the process.
///
/// # Errors
/// It was started before, or the level is none.
pub fn start(config: &Log) -> Result<LogLevel, LogError> {
    let (filter, handle) = reload::Layer::new(parse(&config.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(LogLevel { filter: handle })
}

impl LogLevel {
    /// Changes the level, or the directives, from now on.
    ///
    /// # Errors
    /// It is none, and nothing is changed.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        let filter = parse(level)?;
        self.filter.reload(filter).map_err(|error| failed(level, &error))
    }
}

/// What rustls says of clients' faults is left out unless the level names it: faults are counted by their reason, and a
/// line for each would let any client fill the disk and cost more than the handshake does.
fn parse(level: &str) -> Result<EnvFilter, LogError> {
    let filter = EnvFilter::builder().parse(level).map_err(|error| failed(level, &error))?;
    if level.contains("rustls") {
        return Ok(filter);
    }
    let quiet = "rustls=error".parse().map_err(|error| failed(level, &error))?;
    Ok(filter.add_directive(quiet))
}

fn failed(level: &str, error: &dyn std::error::Error) -> LogError {
    LogError::Level { level: level.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_changes_while_it_runs_and_nonsense_changes_nothing() {
        let level = match start(&Log { level: "info".into(), format: LogFormat::Text }) {
            Ok(level) => level,
            Err(error) => unreachable!("the only test that starts it: {error}"),
        };
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert!(level.set("debug").is_ok());
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(level.set("info,=x").is_err());
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(level.set("warn").is_ok());
        assert!(!tracing::enabled!(tracing::Level::INFO));
        let tells_of_clients = || tracing::enabled!(target: "rustls::msgs::handshake", tracing::Level::WARN);
        assert!(!tells_of_clients());
        assert!(level.set("info,rustls=warn").is_ok());
        assert!(tells_of_clients());
    }
}
