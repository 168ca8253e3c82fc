//! Files that settings of policies name. A plugin cannot read files, so their text is put in place of their path, and
//! again when they have changed.
//!
//! Only settings whose name ends with `-file` are looked at, and only those of plugins that keep what they read to
//! themselves: a tag must not be able to make any file of the machine part of an answer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// How often files are looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// A users file of ten thousand lines has room.
const MAX_BYTES: u64 = 1 << 20;
/// Plugins that neither show nor pass on what a file says.
const DISCREET: [&str; 1] = ["auth"];

/// Settings as the plugin gets them, and the files that are in them.
pub(super) struct Expanded {
    pub(super) settings: Result<String, String>,
    pub(super) files: Vec<Seen>,
}

/// A file as it was when it was read.
#[derive(Debug)]
pub(super) struct Seen {
    path: PathBuf,
    stamp: Option<(SystemTime, u64)>,
}

/// Puts files in.
pub(super) fn expand(plugin: &str, settings: &str) -> Expanded {
    let mut files = Vec::new();
    let parsed = serde_json::from_str(settings).ok().filter(|_| DISCREET.contains(&plugin));
    let Some(Value::Object(mut options)) = parsed else {
        return Expanded { settings: Ok(settings.to_owned()), files };
    };
    for (name, value) in options.iter_mut().filter(|(name, _)| name.ends_with("-file")) {
        let Value::String(path) = value else { continue };
        let path = PathBuf::from(std::mem::take(path));
        files.push(Seen { stamp: stamp(&path), path: path.clone() });
        match read(&path) {
            Ok(text) => *value = json!({ "text": text }),
            Err(reason) => {
                let settings = Err(format!("`{name}`: cannot read {}: {reason}", path.display()));
                return Expanded { settings, files };
            }
        }
    }
    Expanded { settings: Ok(Value::Object(options).to_string()), files }
}

impl Seen {
    /// Whether the file is another one than was read.
    pub(super) fn has_changed(&self) -> bool {
        stamp(&self.path) != self.stamp
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    let length = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if length as u64 > MAX_BYTES { Err(format!("it has more than {MAX_BYTES} bytes")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_path_becomes_a_text_for_discreet_plugins_only() {
        let directory = std::env::temp_dir().join(format!("sluice-settings-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users");
        std::fs::write(&path, "ann:x\n").unwrap();
        let settings = json!({ "users-file": path, "kind": "basic" }).to_string();

        let expanded = expand("auth", &settings);
        assert_eq!(expanded.settings, Ok(json!({ "kind": "basic", "users-file": { "text": "ann:x\n" } }).to_string()));
        assert!(expanded.files.iter().all(|file| !file.has_changed()));
        std::fs::write(&path, "ann:xy\n").unwrap();
        assert!(expanded.files.iter().any(Seen::has_changed));

        let other = expand("degrade", &settings);
        assert_eq!((other.settings, other.files.len()), (Ok(settings), 0));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_looked_at_again() {
        for path in ["/nowhere/users", "/dev/null", "/"] {
            let expanded = expand("auth", &json!({ "users-file": path }).to_string());
            let error = expanded.settings.unwrap_err();
            assert!(error.starts_with(&format!("`users-file`: cannot read {path}: ")), "{error}");
            assert_eq!(expanded.files.len(), 1);
        }
        assert_eq!(expand("auth", "not json").settings, Ok("not json".to_owned()));
    }
}
