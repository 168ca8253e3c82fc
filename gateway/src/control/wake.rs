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

/// Sends a word whenever something in `directory` changes, for as long as what it returns is kept. `None` where
/// watching is impossible; looking now and then has to do there.
pub(super) fn on_change(directory: &Path, woken: &Sender<Change>) -> Option<RecommendedWatcher> {
    let woken = woken.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Some(change) = event.ok().and_then(change_of) {
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
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn writing_wakes_and_reading_does_not() {
        let directory = std::env::temp_dir().join(format!("sluice-wake-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), "1").unwrap();
        let (woken, wake) = channel();
        let watcher = on_change(&directory, &woken).unwrap();
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
        let _watcher = on_change(&directory, &woken).unwrap();
        std::fs::rename(directory.join("new"), directory.join("file")).unwrap();
        let moved = |change: Change| change.moved_in == Some(directory.join("file"));
        assert!(std::iter::from_fn(|| wake.recv_timeout(Duration::from_secs(10)).ok()).any(moved));
    }
}
