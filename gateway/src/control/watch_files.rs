//! Tells when one of some files has changed and stands still: certificates are renewed while the gateway runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::wake::{self, Watched};

/// Files that have not changed for this long are complete.
const STILL: Duration = Duration::from_millis(100);
/// Looked at least this often, for file systems that say nothing and for links into other directories.
const POLL: Duration = Duration::from_secs(5);

/// What tells a file from its earlier self; links are followed.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Calls `changed` on a thread of its own whenever something about the files has changed, once they stand still.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(files: Vec<PathBuf>, mut changed: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    std::thread::Builder::new().name("sluice-files".to_owned()).spawn(move || {
        let (woken, changes) = mpsc::channel();
        let directories: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let directories = directories.into_iter().map(|path| if path == Path::new("") { Path::new(".") } else { path });
        let watch = |directory| wake::on_change(directory, Watched::These(files.clone()), &woken);
        let _watchers: Vec<_> = directories.filter_map(watch).collect();
        let mut known = stamps(&files);
        loop {
            match changes.recv_timeout(POLL) {
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                // Nothing can be watched: time alone wakes.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
            }
            let mut now = stamps(&files);
            while now != known {
                std::thread::sleep(STILL);
                let later = stamps(&files);
                if later == now {
                    known = later;
                    // One look covers everything that happened until now.
                    changes.try_iter().for_each(drop);
                    changed();
                } else {
                    now = later;
                }
            }
        }
    })?;
    Ok(())
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_change_is_told_once_it_stands_still() {
        let directory = std::env::temp_dir().join(format!("sluice-files-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let files = vec![directory.join("cert.pem"), directory.join("cert.key")];
        for file in &files {
            fs::write(file, "1").unwrap();
        }
        let (told, changes) = channel();
        watch(files.clone(), move || told.send(()).unwrap()).unwrap();
        // Watching begins on the other thread, and the first look is its own: write until it is seen.
        let mut tries = 0;
        while changes.recv_timeout(Duration::from_millis(500)).is_err() {
            tries += 1;
            assert!(tries < 40, "never told");
            fs::write(directory.join("new"), tries.to_string()).unwrap();
            fs::rename(directory.join("new"), files.first().unwrap()).unwrap();
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
