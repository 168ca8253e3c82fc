//! Waking whoever looks at a directory when something in it has changed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Something has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// A file that was moved into the directory, and therefore is complete.
    pub(super) moved_in: Option<PathBuf>,
}

/// Which files of a directory somebody looks at.
#[derive(Clone, Debug)]
pub(super) enum Watched {
    /// Whatever lies in it.
    All,
    /// Those, by their paths. What is written to others, as to a log, wakes nobody; what comes, goes or gets another name
    /// may be what one of them links to.
    These(Vec<PathBuf>),
}

impl Watched {
    fn includes(&self, event: &notify::Event) -> bool {
        let Self::These(files) = self else { return true };
        let is_one = |path: &PathBuf| files.iter().any(|file| file.file_name() == path.file_name());
        !is_writing(event.kind) || event.paths.is_empty() || event.paths.iter().any(is_one)
    }
}

/// Sends a word whenever something in `directory` changes, for as long as what it returns is kept. `None` where
/// watching is impossible; looking now and then has to do there.
pub(super) fn on_change(directory: &Path, watched: Watched, woken: &Sender<Change>) -> Option<RecommendedWatcher> {
    let woken = woken.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = event.ok().filter(|event| watched.includes(event));
        if let Some(change) = event.and_then(change_of) {
            // Nobody listens any more: nothing to wake.
            woken.send(change).ok();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched.map_err(|error| tracing::warn!(directory = %directory.display(), %error, "polled, not watched")).ok()
}

fn is_writing(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) => true,
        EventKind::Modify(modify) => !matches!(modify, ModifyKind::Name(_)),
        _ => false,
    }
}

/// Reading is reported as well, and whoever is woken reads: it must not wake itself.
fn change_of(event: notify::Event) -> Option<Change> {
    match event.kind {
        EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
            Some(Change { moved_in: event.paths.into_iter().next_back() })
        }
        _ => Some(Change::default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn writing_wakes_and_reading_does_not() {
        let directory = std::env::temp_dir().join(format!("sluice-wake-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), "1").unwrap();
        let (woken, wake) = channel();
        let watcher = on_change(&directory, Watched::All, &woken).unwrap();
        std::fs::read_dir(&directory).unwrap().count();
        std::fs::read(directory.join("file")).unwrap();
        std::fs::write(directory.join("file"), "2").unwrap();
        wake.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(watcher);
        // One write is at most created, modified and closed; each read would be opened, read and closed.
        assert!(wake.try_iter().count() < 3);
    }

    #[test]
    fn what_is_moved_in_is_named() {
        let directory = std::env::temp_dir().join(format!("sluice-wake-moved-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("new"), "1").unwrap();
        let (woken, wake) = channel();
        let _watcher = on_change(&directory, Watched::All, &woken).unwrap();
        std::fs::rename(directory.join("new"), directory.join("file")).unwrap();
        let moved = |change: Change| change.moved_in == Some(directory.join("file"));
        assert!(std::iter::from_fn(|| wake.recv_timeout(Duration::from_secs(10)).ok()).any(moved));
    }

    #[test]
    fn writing_to_others_wakes_nobody_who_looks_at_some() {
        let directory = std::env::temp_dir().join(format!("sluice-wake-some-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let [mine, log] = ["mine", "log"].map(|name| directory.join(name));
        std::fs::write(&mine, "1").unwrap();
        std::fs::write(&log, "1").unwrap();
        let (woken, wake) = channel();
        let _watcher = on_change(&directory, Watched::These(vec![mine.clone()]), &woken).unwrap();
        for _ in 0..100 {
            std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"line").unwrap();
        }
        std::fs::write(&mine, "2").unwrap();
        wake.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(wake.try_iter().count() < 3, "the log was written a hundred times before");
        // As where a file is a link to a directory's current version.
        std::fs::rename(&log, directory.join("data")).unwrap();
        wake.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
