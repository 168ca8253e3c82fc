//! `cases.toml`: exchanges, and what has to become of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{PluginError, at};

/// A file of cases.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    /// A policy's settings.
    #[serde(default)]
    pub(super) settings: toml::Table,
    /// As `[plugins.settings.NAME]`: deadline, memory, grants, failure.
    #[serde(default)]
    pub(super) plugin: toml::Table,
    /// What a router is shown; a policy has one service on every path.
    #[serde(default, rename = "service")]
    pub(super) services: Vec<Service>,
    #[serde(default, rename = "case")]
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

/// One exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) request: Request,
    /// What the instance answers.
    #[serde(default)]
    pub(super) upstream: Reply,
    /// The expectation is for the last of so many.
    #[serde(default = "once")]
    pub(super) repeat: u32,
    /// Waited for before it is sent.
    #[serde(default, rename = "wait-ms")]
    pub(super) wait_ms: u64,
    #[serde(default)]
    pub(super) expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// What is not named may be anything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) status: Option<u16>,
    /// An empty text means that it is not there.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    /// Whether the instance was asked.
    pub(super) reached: Option<bool>,
    pub(super) upstream: Option<Seen>,
}

/// What the instance got.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
}

fn once() -> u32 {
    1
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            host: "plugin.test".to_owned(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body: String::new(),
        }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: "hello".to_owned() }
    }
}

impl Cases {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, PluginError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        let cases: Self = toml::from_str(&text)
            .map_err(|error| PluginError::Refused(format!("{}: {}", path.display(), error.to_string().trim_end())))?;
        Ok(cases)
    }
}
