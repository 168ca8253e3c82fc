//! A process of the demo or of the benchmark, ended when it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a process that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How a process is ended.
#[derive(Clone, Copy)]
enum Ending {
    /// At once.
    Kill,
    /// By SIGTERM first: nginx's master takes its workers along then, and only then.
    Ask,
}

pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: Option<PathBuf>,
    ending: Ending,
}

impl Child {
    /// Starts a process that writes to this terminal, or wherever the command says.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let process = command.stdin(Stdio::null()).spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), process, log: None, ending: Ending::Kill })
    }

    /// Starts a process that writes to a file.
    pub(crate) fn spawn_logged(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut child = Self::spawn(name, command)?;
        child.log = Some(log.to_owned());
        Ok(child)
    }

    /// Lets the process end by itself when it is dropped, and kills it only if it does not.
    pub(crate) fn ended_by_asking(mut self) -> Self {
        self.ending = Ending::Ask;
        self
    }

    /// What it prints, where the command pipes it.
    pub(crate) fn take_output(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
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

    fn ask(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        let asked = Command::new("kill").arg(self.id().to_string()).status();
        let deadline = Instant::now() + GRACE;
        while asked.is_ok() && Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ending::Ask = self.ending {
            self.ask();
        }
        // Both fail only when the process has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
