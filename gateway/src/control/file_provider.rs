//! The file provider: `services.toml`, read again whenever it changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime};

use sluice_model::Catalog;

use super::wake::{self, Watched};
use super::{Event, ProviderStatus, Tracker};
use crate::config::services_file::{self, ServicesFile};

/// The provider's name.
pub(super) const NAME: &str = "file";
/// Looked at least this often, for file systems that do not say when something changes.
const POLL: Duration = Duration::from_secs(2);

/// Watches a catalog file on a thread of its own until nobody listens.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(path: std::path::PathBuf, events: Sender<Event>, tracker: Arc<Tracker>) -> std::io::Result<()> {
    std::thread::Builder::new().name("sluice-file".to_owned()).spawn(move || {
        let (woken, changes) = mpsc::channel();
        // The directory is watched, not the file: editors replace files instead of writing to them.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _watcher = wake::on_change(directory, Watched::These(vec![path.clone()]), &woken);
        let mut provider = FileProvider { name: NAME.into(), bytes: None, last: None, tracker, events };
        while provider.look(&path) {
            if changes.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            while changes.try_recv().is_ok() {}
        }
    })?;
    Ok(())
}

struct FileProvider {
    name: Arc<str>,
    /// What the file held when it was read last; `None` where it could not be read.
    bytes: Option<Vec<u8>>,
    last: Option<Result<ServicesFile, String>>,
    tracker: Arc<Tracker>,
    events: Sender<Event>,
}

impl FileProvider {
    /// Reads the file and passes on what is new; false once nobody listens.
    fn look(&mut self, path: &Path) -> bool {
        let bytes = std::fs::read(path).ok();
        if self.last.is_some() && bytes == self.bytes {
            return true;
        }
        self.bytes = bytes;
        let read = services_file::load(path).map(|file| self.shared(file)).map_err(|problems| problems.to_string());
        if self.last.as_ref() == Some(&read) {
            return true;
        }
        let sent = match &read {
            Ok(file) => self.publish(file),
            Err(reason) => {
                tracing::error!(path = %path.display(), reason, "catalog file refused; what was read before stays in force");
                self.tracker.refused(format!("{}: {reason}", path.display()));
                self.report(None, Some(reason.clone()));
                true
            }
        };
        self.last = Some(read);
        sent
    }

    /// Services that did not change are those of before, so that nobody has to compare them again.
    fn shared(&self, mut file: ServicesFile) -> ServicesFile {
        if let Some(Ok(before)) = &self.last {
            for (name, service) in &mut file.catalog.services {
                if let Some(known) = before.catalog.services.get(name).filter(|known| *known == service) {
                    *service = Arc::clone(known);
                }
            }
        }
        file
    }

    fn publish(&self, file: &ServicesFile) -> bool {
        let problems: Vec<String> = file.problems.iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::error!(problem, "service left out of the catalog");
        }
        self.report(Some(&file.catalog), (!problems.is_empty()).then(|| problems.join("; ")));
        let catalog = Arc::new(file.catalog.clone());
        self.events.send(Event::Catalog { provider: Arc::clone(&self.name), catalog }).is_ok()
    }

    fn report(&self, catalog: Option<&Catalog>, last_error: Option<String>) {
        let before = self.tracker.status().providers.remove(&self.name).unwrap_or_default();
        let status = ProviderStatus {
            index: None,
            last_contact: if catalog.is_some() { Some(SystemTime::now()) } else { before.last_contact },
            last_error,
            services: catalog.map_or(before.services, |catalog| catalog.services.len()),
        };
        self.tracker.provider(&self.name, status);
    }
}
