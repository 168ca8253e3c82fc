//! A process of the demo, killed when it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: Option<PathBuf>,
}

impl Child {
    /// Starts a process that writes to this terminal.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let process = command.stdin(Stdio::null()).spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), process, log: None })
    }

    /// Starts a process that writes to a file.
    pub(crate) fn spawn_logged(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut child = Self::spawn(name, command)?;
        child.log = Some(log.to_owned());
        Ok(child)
    }

    /// Fails when the process is no longer running.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}){}", self.name, self.log_tail()),
        }
    }

    /// The end of the log, for an error's text.
    pub(crate) fn log_tail(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
        format!("; its log, {}, ends with:\n{}", log.display(), tail.join("\n"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only when the process has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
