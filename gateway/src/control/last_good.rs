//! The last good catalogs on disk, so that a gateway that starts while Consul is away serves what it served before.
//!
//! Written on a thread of its own, at most every five seconds, to a new file that then takes the old one's place: a
//! reader sees one whole state or the other. A file that does not check out is set aside and ignored.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_model::{Catalog, CatalogInstance, CatalogService, Health};

/// The least time between two writes.
const INTERVAL: Duration = Duration::from_secs(5);
const FILE: &str = "discovery.json";
/// Grows when the format changes; other versions are ignored.
const VERSION: u32 = 1;

/// Catalogs by provider.
pub(super) type Catalogs = BTreeMap<String, Arc<Catalog>>;

#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    /// SHA-256 of `catalogs` as compact JSON.
    sha256: String,
    catalogs: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct StoredInstance {
    id: String,
    node: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    health: String,
}

type Stored = BTreeMap<String, BTreeMap<String, Vec<StoredInstance>>>;

/// Writes catalogs; dropping it ends its thread.
pub(super) struct Store {
    catalogs: Sender<Catalogs>,
}

impl Store {
    /// Starts writing into a directory, which is created where it is missing.
    pub(super) fn start(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let (sender, receiver) = channel::<Catalogs>();
        std::thread::Builder::new().name("sluice-state".to_owned()).spawn(move || {
            while let Ok(first) = receiver.recv() {
                let newest = receiver.try_iter().last().unwrap_or(first);
                if let Err(error) = write(&directory, &newest) {
                    tracing::warn!(directory = %directory.display(), %error, "the last good catalog is not saved");
                }
                std::thread::sleep(INTERVAL);
            }
        })?;
        Ok(Self { catalogs: sender })
    }

    /// Has a state written soon.
    pub(super) fn save(&self, catalogs: Catalogs) {
        // Fails only if its thread died, which it has said.
        self.catalogs.send(catalogs).ok();
    }
}

fn write(directory: &Path, catalogs: &Catalogs) -> io::Result<()> {
    let catalogs = serde_json::to_value(to_stored(catalogs))?;
    let envelope = Envelope { version: VERSION, sha256: digest(&catalogs), catalogs };
    let temporary = directory.join(format!("{FILE}.new"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(&envelope)?)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

/// What was written last, if it is whole.
pub(super) fn load(directory: &Path) -> Catalogs {
    let path = directory.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Catalogs::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the last good catalog cannot be read");
            return Catalogs::new();
        }
    };
    match parse(&bytes) {
        Ok(catalogs) => catalogs,
        Err(reason) => {
            let aside = path.with_extension("json.bad");
            tracing::warn!(path = %path.display(), aside = %aside.display(), reason, "the last good catalog is set aside");
            // What cannot be moved is found again, and refused again, next time.
            fs::rename(&path, aside).ok();
            Catalogs::new()
        }
    }
}

/// The same for somebody who changes nothing: a file that does not check out stays where it is.
pub(super) fn peek(directory: &Path) -> Catalogs {
    fs::read(directory.join(FILE)).ok().and_then(|bytes| parse(&bytes).ok()).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Result<Catalogs, String> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if envelope.version != VERSION {
        return Err(format!("it has version {}, not {VERSION}", envelope.version));
    }
    if digest(&envelope.catalogs) != envelope.sha256 {
        return Err("its checksum is wrong".to_owned());
    }
    let stored: Stored = serde_json::from_value(envelope.catalogs).map_err(|error| error.to_string())?;
    Ok(from_stored(stored))
}

fn digest(catalogs: &serde_json::Value) -> String {
    Sha256::digest(catalogs.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn to_stored(catalogs: &Catalogs) -> Stored {
    let service = |service: &Arc<CatalogService>| service.instances.iter().map(StoredInstance::from).collect();
    let catalog =
        |catalog: &Arc<Catalog>| catalog.services.iter().map(|(name, found)| (name.clone(), service(found))).collect();
    catalogs.iter().map(|(provider, found)| (provider.clone(), catalog(found))).collect()
}

fn from_stored(stored: Stored) -> Catalogs {
    let service = |name: String, instances: Vec<StoredInstance>| {
        let instances = instances.into_iter().map(CatalogInstance::from).collect();
        (name.clone(), Arc::new(CatalogService { name, instances }))
    };
    let catalog = |services: BTreeMap<String, Vec<StoredInstance>>| Catalog {
        services: services.into_iter().map(|(name, instances)| service(name, instances)).collect(),
    };
    stored.into_iter().map(|(provider, services)| (provider, Arc::new(catalog(services)))).collect()
}

const STATES: [(&str, Health); 4] = [
    ("passing", Health::Passing),
    ("warning", Health::Warning),
    ("critical", Health::Critical),
    ("maintenance", Health::Maintenance),
];

impl From<&CatalogInstance> for StoredInstance {
    fn from(instance: &CatalogInstance) -> Self {
        let health = STATES.iter().find(|(_, state)| *state == instance.health).map_or("passing", |(word, _)| word);
        let CatalogInstance { id, node, address, port, tags, .. } = instance.clone();
        Self { id, node, address, port, tags, health: health.to_owned() }
    }
}

impl From<StoredInstance> for CatalogInstance {
    fn from(stored: StoredInstance) -> Self {
        let health =
            STATES.iter().find(|(word, _)| *word == stored.health).map_or(Health::Critical, |(_, state)| *state);
        let StoredInstance { id, node, address, port, tags, .. } = stored;
        Self { id, node, address, port, tags, health }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn catalogs() -> Catalogs {
        let instance = CatalogInstance {
            id: "n/web-1".into(),
            node: "n".into(),
            address: "10.0.0.1".into(),
            port: 80,
            tags: vec!["traefik.enable=true".into()],
            health: Health::Warning,
        };
        let service = Arc::new(CatalogService { name: "web".into(), instances: vec![instance] });
        [("consulcatalog".to_owned(), Arc::new(Catalog { services: [("web".to_owned(), service)].into() }))].into()
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("sluice-last-good-{name}-{}", std::process::id()));
        fs::remove_dir_all(&directory).ok();
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn what_is_written_comes_back() {
        let directory = directory("round");
        assert!(load(&directory).is_empty());
        write(&directory, &catalogs()).unwrap();
        assert_eq!(load(&directory), catalogs());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let directory = directory("damaged");
        write(&directory, &catalogs()).unwrap();
        let path = directory.join(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("10.0.0.1", "10.0.0.2");
        fs::write(&path, text).unwrap();
        assert!(load(&directory).is_empty());
        assert!(!path.exists() && directory.join("discovery.json.bad").exists());
        fs::write(&path, "{").unwrap();
        assert!(load(&directory).is_empty());
    }
}
