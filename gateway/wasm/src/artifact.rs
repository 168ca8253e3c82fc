//! One version of one plugin: compiled, checked and linked, and nothing of it has run yet.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};

use crate::bindings::router::RouterPre;
use crate::encode;
use crate::engine::Engine;
use crate::error::{CallError, LoadError};
use crate::host::NoExchange;
use crate::inspect::{self, World};
use crate::limits::Limits;
use crate::log::{LogBudget, PluginLog};
use crate::metadata;
use crate::policy::{self, PolicyInstance, PolicyPre};
use crate::router::{self, RouterData};

/// The largest file that is looked at. Plugins are a hundred kilobytes; one with a language runtime in it, ten megabytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A plugin that can be started. Clones are cheap and share the log budget.
#[derive(Clone)]
pub struct Artifact {
    name: Arc<str>,
    digest: Arc<str>,
    version: Option<Arc<str>>,
    imports: Arc<[String]>,
    /// `interface/function` of this gateway's that it can call.
    functions: Arc<[String]>,
    engine: Engine,
    code: Code,
    log_budget: Arc<LogBudget>,
}

#[derive(Clone)]
enum Code {
    Router(RouterPre<RouterData>),
    Policy(Component),
}

impl Artifact {
    /// Compiles a component, or a core module that describes one, and checks that everything it needs is there.
    ///
    /// Takes as long as compiling takes, a tenth of a second for a common plugin: not for a worker thread.
    ///
    /// # Errors
    /// The bytes are not a plugin this gateway can run; the error says why.
    pub fn load(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        check_size(name, bytes)?;
        let encoded = encode::component(name, bytes)?;
        let component = compile(engine, name, &encoded)?;
        let code = match inspect::world(name, &component)? {
            World::Router => Code::Router(link_router(engine, name, &component)?),
            World::Policy => Code::Policy(check_policy(engine, name, component.clone())?),
        };
        Ok(Self {
            name: name.into(),
            digest: digest(bytes).into(),
            version: metadata::version(&encoded).map(Into::into),
            imports: inspect::imports(&component).into(),
            functions: inspect::functions(&component).into(),
            engine: engine.clone(),
            code,
            log_budget: Arc::new(LogBudget::new()),
        })
    }

    /// The name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its own version, where it says one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The JSON schema of its settings, empty where it has none. An instance is made to ask it.
    ///
    /// # Errors
    /// It fails when it is started or asked.
    pub fn schema(&self, limits: Limits, log: Arc<dyn PluginLog>) -> Result<String, CallError> {
        match self.code {
            Code::Router(_) => Ok(String::new()),
            Code::Policy(_) => PolicyInstance::<NoExchange>::new(&PolicyPre::new(self)?, limits, log)?.schema(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn world(&self) -> World {
        match self.code {
            Code::Router(_) => World::Router,
            Code::Policy(_) => World::Policy,
        }
    }

    /// The interfaces it imports, with versions: what it can possibly do.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether it can call that function of that interface of this gateway's.
    #[must_use]
    pub fn uses(&self, interface: &str, function: &str) -> bool {
        let is_it = |name: &String| name.split_once('/') == Some((interface, function));
        self.functions.iter().any(is_it)
    }

    /// Whether it imports an interface of this gateway's.
    #[must_use]
    pub fn has_import(&self, interface: &str) -> bool {
        self.functions.iter().any(|name| name.split_once('/').is_some_and(|(known, _)| known == interface))
    }

    /// Whether it may wait for requests of its own.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.has_import("outbound")
    }

    /// How many log lines its instances wrote beyond their budget.
    #[must_use]
    pub fn dropped_log_lines(&self) -> u64 {
        self.log_budget.dropped()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn log_budget(&self) -> Arc<LogBudget> {
        Arc::clone(&self.log_budget)
    }

    pub(crate) fn router(&self) -> Option<&RouterPre<RouterData>> {
        match &self.code {
            Code::Router(pre) => Some(pre),
            Code::Policy(_) => None,
        }
    }

    pub(crate) fn policy(&self) -> Option<&Component> {
        match &self.code {
            Code::Router(_) => None,
            Code::Policy(component) => Some(component),
        }
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

fn check_size(name: &str, bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(LoadError::TooLarge { name: name.to_owned(), size: bytes.len(), limit: MAX_BYTES })
}

fn compile(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
    Component::from_binary(engine.inner(), bytes)
        .map_err(|error| LoadError::Invalid { name: name.to_owned(), reason: format!("{error:#}") })
}

fn link_router(engine: &Engine, name: &str, component: &Component) -> Result<RouterPre<RouterData>, LoadError> {
    router::link(&mut Linker::new(engine.inner()), component).map_err(|error| link_error(name, &error))
}

fn check_policy(engine: &Engine, name: &str, component: Component) -> Result<Component, LoadError> {
    let waits = inspect::functions(&component).iter().any(|function| function.starts_with("outbound/"));
    policy::link::<NoExchange>(&mut Linker::new(engine.inner()), &component, waits)
        .map_err(|error| link_error(name, &error))?;
    Ok(component)
}

fn link_error(name: &str, error: &wasmtime::Error) -> LoadError {
    LoadError::Link { name: name.to_owned(), reason: format!("{error:#}") }
}

/// What a component is told apart by: its SHA-256, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
