//! The plugin directory: which files are complete, new or gone.
//!
//! The file system says that something happened; what happened is found out by looking. A file counts once it has
//! stood still for a moment, or at once if it was moved in whole, so a half-written one is never read; and it is read
//! once, so what is checked is what runs. Looking every two seconds as well covers file systems that say nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::{Event, wake};

/// A file that has not changed for this long is complete.
const STILL: Duration = Duration::from_millis(200);
/// Looked at least this often.
const POLL: Duration = Duration::from_secs(2);
/// Larger files are not read.
const LARGEST: u64 = 16 << 20;
/// Signatures are four lines.
const LARGEST_SIGNATURE: u64 = 8 << 10;

/// What was read of a plugin.
pub struct PluginFile {
    /// The component.
    pub bytes: Vec<u8>,
    /// What lies beside it as its signature, or why that cannot be read.
    pub signature: Option<Result<String, String>>,
}

/// What tells a plugin's files, itself and its signature, from what they were before.
type Stamps = (Stamp, Option<Stamp>);

/// What tells a file from its earlier self.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Like this since then. One word of the file system may come right after another: two looks are not enough.
    Moving(Stamps, Instant),
    /// Reported.
    Settled(Stamps),
}

/// Watches a directory on a thread of its own until nobody listens. What lies there already is reported before this
/// returns.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(directory: PathBuf, events: Sender<Event>) -> std::io::Result<()> {
    let mut files = Files { directory, events, seen: BTreeMap::new() };
    // Whoever does not listen any more is not told.
    files.look(&Trust::All, Instant::now()).ok();
    let (woken, changes) = mpsc::channel();
    std::thread::Builder::new().name("sluice-plugins".to_owned()).spawn(move || {
        // Kept alive here; where watching is impossible, looking every two seconds has to do.
        let _watcher = wake::on_change(&files.directory, wake::Watched::All, &woken);
        let mut moved_in = Vec::new();
        loop {
            let trust = Trust::Moved(std::mem::take(&mut moved_in));
            let Ok(still) = files.look(&trust, Instant::now()) else { return };
            let first = match changes.recv_timeout(if still { POLL } else { STILL }) {
                Ok(change) => Some(change),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // One look covers everything that happened until now.
            moved_in.extend(first.into_iter().chain(changes.try_iter()).filter_map(|change| change.moved_in));
        }
    })?;
    Ok(())
}

/// Reports what lies in a directory now, and no more.
pub(super) fn report_once(directory: &Path, events: &Sender<Event>) {
    let mut files = Files { directory: directory.to_owned(), events: events.clone(), seen: BTreeMap::new() };
    // Whoever does not listen any more is not told.
    files.look(&Trust::All, Instant::now()).ok();
}

struct Files {
    directory: PathBuf,
    events: Sender<Event>,
    seen: BTreeMap<String, Seen>,
}

/// Which files are complete although nobody has seen them stand still.
enum Trust {
    /// All: what lies there at the start.
    All,
    /// Those that were moved in.
    Moved(Vec<PathBuf>),
}

impl Trust {
    fn covers(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Moved(paths) => paths.iter().any(|moved| moved == path),
        }
    }
}

/// Nobody listens to events any more.
struct Closed;

impl Files {
    /// Compares the directory with what is known; answers whether every file stands still.
    fn look(&mut self, trust: &Trust, at: Instant) -> Result<bool, Closed> {
        let now = self.list();
        let gone: Vec<String> = self.seen.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        for name in gone {
            self.seen.remove(&name);
            self.send(Event::PluginGone { name })?;
        }
        let mut still = true;
        for (name, (path, stamps)) in now {
            let seen = match self.seen.get(&name) {
                Some(Seen::Settled(known)) if *known == stamps => continue,
                _ if trust.covers(&path) => Seen::Settled(stamps),
                Some(Seen::Moving(known, since)) if *known == stamps => {
                    if at.duration_since(*since) >= STILL {
                        Seen::Settled(stamps)
                    } else {
                        Seen::Moving(stamps, *since)
                    }
                }
                _ => Seen::Moving(stamps, at),
            };
            self.seen.insert(name.clone(), seen);
            match seen {
                Seen::Moving(..) => still = false,
                Seen::Settled(_) => {
                    let file = check_directory(&self.directory).and_then(|()| PluginFile::read(&path));
                    self.send(Event::PluginFound { name, file, path })?;
                }
            }
        }
        Ok(still)
    }

    fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).map_err(|_| Closed)
    }

    /// `*.wasm` by the part of the name before it.
    fn list(&self) -> BTreeMap<String, (PathBuf, Stamps)> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return BTreeMap::new() };
        let files = entries.filter_map(Result::ok).filter_map(|entry| {
            let path = entry.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned();
            let signature = fs::symlink_metadata(signature_of(&path)).ok();
            let stamps = (Stamp::of(&fs::symlink_metadata(&path).ok()?), signature.as_ref().map(Stamp::of));
            (!name.is_empty() && !name.starts_with('.')).then_some((name, (path, stamps)))
        });
        files.collect()
    }
}

/// Where the signature of a plugin lies: where minisign puts it.
fn signature_of(plugin: &Path) -> PathBuf {
    let mut path = plugin.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

impl PluginFile {
    fn read(path: &Path) -> Result<Self, String> {
        let bytes = read(path, LARGEST)?;
        let signature = signature_of(path);
        let text = |bytes| String::from_utf8(bytes).map_err(|_| format!("{} is no text", signature.display()));
        let is_there = fs::symlink_metadata(&signature).is_ok();
        let signature = is_there.then(|| read(&signature, LARGEST_SIGNATURE).and_then(text));
        Ok(Self { bytes, signature })
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// Whoever may write into the directory may run code in the gateway.
fn check_directory(directory: &Path) -> Result<(), String> {
    let mode = fs::metadata(directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?.mode();
    if mode & 0o002 == 0 {
        return Ok(());
    }
    let directory = directory.display();
    Err(format!("every user may write into {directory}, so nothing from there is run; `chmod o-w {directory}`"))
}

/// Reads a regular file, and nothing else: a link could point anywhere and a pipe would never end.
fn read(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let kind = fs::symlink_metadata(path).map_err(fail)?;
    if !kind.is_file() {
        return Err(format!("{} is not a regular file; put the file itself there", path.display()));
    }
    if kind.len() > largest {
        return Err(format!("{} has {} bytes, at most {largest} are read", path.display(), kind.len()));
    }
    let mut options = File::options();
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    let mut bytes = Vec::new();
    let file = options.open(path).map_err(fail)?;
    let opened = file.metadata().map_err(fail)?;
    if !opened.is_file() {
        return Err(format!("{} changed into something else while it was opened", path.display()));
    }
    if opened.mode() & 0o002 != 0 {
        let path = path.display();
        return Err(format!("every user may write to {path}, so it is not run; `chmod o-w {path}`"));
    }
    file.take(largest).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
