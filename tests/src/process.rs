//! Folders, ports and child processes that a test has to itself.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The top folder of the repository.
///
/// # Panics
/// Never: this package is one folder below it.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above tests/")
}

/// Where cargo puts what it builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), |dir| repository().join(dir))
}

/// A loopback address nothing listens on.
///
/// It lies below the ports the system hands out by itself: a worker that shares its port (`SO_REUSEPORT`) would not
/// notice that another test's connection or gateway already has it.
///
/// # Panics
/// When every port is taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 23_000;
    const COUNT: u32 = 9_000;
    // Processes that run at the same time have different ids, and start far apart.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("find a free port");
}

/// A folder that is removed with its owner.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a folder of its own below the system's temporary one.
    ///
    /// # Panics
    /// When that cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sluice-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("create a temporary folder");
        Self(path)
    }

    /// A name within the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is left lies in a temporary folder
    }
}

/// Puts a file in place in one step, so that a watcher never sees half of it.
///
/// # Panics
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) {
    let hidden = path.with_file_name(format!(".new-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&hidden, content).unwrap_or_else(|error| panic!("write {}: {error}", hidden.display()));
    fs::rename(&hidden, path).unwrap_or_else(|error| panic!("rename to {}: {error}", path.display()));
}

/// A process with a log, killed when it is dropped; a failing test shows the end of the log.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process whose whole output goes to a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &'static str, command: &mut Command, log: PathBuf) -> Self {
        let output = File::create(&log).unwrap_or_else(|error| panic!("create {}: {error}", log.display()));
        let errors = output.try_clone().expect("share the log");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("start {}: {error}", command.get_program().display()));
        Self { name, child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // fails only when it has ended
        let _ = self.child.wait();
    }

    /// Sends a signal by its name, `TERM` for example.
    ///
    /// # Panics
    /// When there is no such signal or no such process.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(status.expect("start kill").success(), "send {name} to {}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("---- end of the log of {}\n{}\n----", self.name, tail.join("\n"));
        }
    }
}

/// The resident memory of a process in bytes that is its own: what it allocated. Code and mapped files are left out, for
/// how much of them a test touches first depends on the tests before it and on the machine.
///
/// # Panics
/// When it has ended.
#[must_use]
pub fn resident_bytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("read the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("find RssAnon");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("read RssAnon") * 1024
}
