//! Waking whoever looks at a directory when something in it has changed.

use std::path::Path;
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Sends a word whenever something in `directory` changes, for as long as what it returns is kept. `None` where
/// watching is impossible; looking now and then has to do there.
pub(super) fn on_change(directory: &Path, woken: &Sender<()>) -> Option<RecommendedWatcher> {
    let woken = woken.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            // Nobody listens any more: nothing to wake.
            woken.send(()).ok();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched.map_err(|error| tracing::warn!(directory = %directory.display(), %error, "polled, not watched")).ok()
}

/// Reading is reported as well, and whoever is woken reads: it must not wake itself.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
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
}
