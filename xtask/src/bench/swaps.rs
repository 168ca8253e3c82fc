//! Plugins replaced under load, far more often than the tests do it.

use anyhow::Result;

use crate::workspace::{build_plugins, cargo, execute};

/// The swap test of the suite with a thousand replacements of each plugin; it prints what it saw.
pub(crate) fn run() -> Result<()> {
    build_plugins()?;
    let mut test = cargo(&["test", "--release", "--package", "sluice-tests", "--test", "swap", "--", "--nocapture"]);
    execute(test.env("SWAPS", "1000"))
}
