//! A gateway with the component in it, and an instance behind it, for as long as a verb needs them.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use toml::Table;

use super::cases::{Cases, Service};
use super::upstream::Upstream;
use super::{PluginError, Scratch, at, component};
use crate::cli::admin_client;

/// For the gateway to compile its plugins and serve.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Everything that runs.
pub(super) struct Stage {
    gateway: Child,
    pub(super) upstream: Upstream,
    pub(super) web: SocketAddr,
    admin: SocketAddr,
    pub(super) name: String,
    // Goes last: the gateway reads from it.
    _scratch: Scratch,
}

impl Stage {
    /// Starts a gateway that runs the component as `cases` say.
    pub(super) fn start(file: &Path, cases: &Cases) -> Result<Self, PluginError> {
        let (name, bytes) = component(file)?;
        let scratch = Scratch::new()?;
        let plugins = scratch.0.join("plugins");
        std::fs::create_dir_all(&plugins).map_err(at(&plugins))?;
        let copy = plugins.join(format!("{name}.wasm"));
        std::fs::write(&copy, &bytes).map_err(at(&copy))?;
        let upstream = Upstream::start().map_err(at(Path::new("127.0.0.1")))?;
        let (web, admin) = (free_address()?, free_address()?);
        let is_router = !cases.services.is_empty();
        write(&scratch.0.join("services.toml"), &services(&cases.services, upstream.address))?;
        let config = scratch.0.join("sluice.toml");
        write(&config, &configuration(&name, cases, is_router, web, admin))?;
        let program = std::env::current_exe().map_err(at(Path::new("sluice")))?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        let gateway = command.spawn().map_err(at(&config))?;
        let mut stage = Self { gateway, upstream, web, admin, name, _scratch: scratch };
        stage.wait()?;
        Ok(stage)
    }

    fn wait(&mut self) -> Result<(), PluginError> {
        let begun = Instant::now();
        loop {
            if self.ask("/ready").is_some() {
                let plugin = self.plugin();
                match field(&plugin, "state") {
                    Some("active") if field(&plugin, "source") != Some("builtin") => return self.check_policy(),
                    Some("compiling") | None => {}
                    _ => return Err(PluginError::Refused(format!("{}: {}", self.name, said(&plugin)))),
                }
            }
            let ended = self.gateway.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let plugin = self.plugin();
                return Err(PluginError::Refused(format!("{} is not served: {}", self.name, said(&plugin))));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A policy whose settings were refused answers everything 503; that is no way to say so.
    fn check_policy(&self) -> Result<(), PluginError> {
        let policy = self.ask("/api/policies/tested").unwrap_or_default();
        match field(&policy, "error") {
            Some(error) => Err(PluginError::Refused(format!("{} refuses its settings: {error}", self.name))),
            None => Ok(()),
        }
    }

    /// What the admin API says of the plugin.
    pub(super) fn plugin(&self) -> Value {
        self.ask(&format!("/api/plugins/{}", self.name)).unwrap_or_default()
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let answer = admin_client::get(&self.admin.to_string(), None, path).ok()?;
        serde_json::from_str(&answer.body).ok().filter(|_| answer.is_ok())
    }

    /// The metrics as text.
    pub(super) fn metrics(&self) -> String {
        admin_client::get(&self.admin.to_string(), None, "/metrics")
            .map_or_else(|_| String::new(), |answer| answer.body)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.gateway.kill().ok();
        self.gateway.wait().ok();
    }
}

fn field<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn said(plugin: &Value) -> String {
    field(plugin, "lastError").unwrap_or("no reason is given; see the log above").to_owned()
}

fn write(path: &Path, document: &Table) -> Result<(), PluginError> {
    let text = toml::to_string(document).map_err(|error| PluginError::Refused(error.to_string()))?;
    std::fs::write(path, text).map_err(at(path))
}

/// An address nothing listens on now.
fn free_address() -> Result<SocketAddr, PluginError> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(at(Path::new("127.0.0.1:0")))
}

fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn services(wanted: &[Service], upstream: SocketAddr) -> Table {
    let everything =
        [Service { name: "tested".to_owned(), tags: vec!["traefik.frontend.rule=PathPrefix:/".to_owned()] }];
    let wanted = if wanted.is_empty() { &everything } else { wanted };
    let services = wanted.iter().map(|service| {
        let tags: Vec<toml::Value> = service.tags.iter().map(|tag| tag.as_str().into()).collect();
        let port = i64::from(upstream.port());
        let instance = table([("address", upstream.ip().to_string().into()), ("port", port.into())]);
        let instances = toml::Value::Array(vec![instance.into()]);
        toml::Value::Table(table([
            ("name", service.name.as_str().into()),
            ("tags", tags.into()),
            ("instances", instances),
        ]))
    });
    table([("service", toml::Value::Array(services.collect()))])
}

fn configuration(name: &str, cases: &Cases, is_router: bool, web: SocketAddr, admin: SocketAddr) -> Table {
    let listen = |address: SocketAddr| table([("address", address.to_string().into())]);
    let mut provider = table([("path", "services.toml".into())]);
    if is_router {
        provider.insert("router".to_owned(), name.into());
    }
    let mut plugins = table([("directory", "plugins".into())]);
    if !cases.plugin.is_empty() {
        plugins.insert("settings".to_owned(), table([(name, cases.plugin.clone().into())]).into());
    }
    let mut config = table([
        ("entrypoints", table([("web", listen(web).into())]).into()),
        ("admin", listen(admin).into()),
        ("runtime", table([("workers", 1.into())]).into()),
        ("shutdown", table([("pre-stop", 0.into()), ("drain", 0.into())]).into()),
        ("log", table([("level", "warn".into())]).into()),
        ("plugins", plugins.into()),
        ("providers", table([("file", provider.into())]).into()),
    ]);
    if !is_router {
        let policy = table([
            ("name", "tested".into()),
            ("plugin", name.into()),
            ("attach", vec!["entrypoint:web"].into()),
            ("config", cases.settings.clone().into()),
        ]);
        config.insert("policies".to_owned(), toml::Value::Array(vec![policy.into()]));
    }
    config
}
