//! The whole process: starts every part, waits for a signal, and takes everything down again in order.

use std::process::ExitCode;

use crate::config::Config;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
#[error("this build serves nothing: {0:?}")]
pub struct AppError(Option<std::path::PathBuf>);

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// It cannot start.
pub fn run(config: Config) -> Result<ExitCode, AppError> {
    Err(AppError(config.file))
}
