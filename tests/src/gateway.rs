//! The real `sluice` process with a configuration of its own.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::catalog::{Catalog, Service};
use crate::client::{Answer, Request};
use crate::plugins::Directory;
use crate::process::{Folder, Process, free_address, repository, resident_bytes, target_dir};
use crate::until;
use crate::wire::Wire;

/// Where compiled plugins are kept.
#[derive(Clone, Copy, Debug)]
enum Compiled {
    /// In one folder for all tests: the default plugins are compiled once and not for each case.
    Shared,
    /// Nowhere, so that every version is compiled.
    Nowhere,
}

/// What a gateway is started with: an entrypoint `web` and the admin API are always there.
#[derive(Debug)]
pub struct Setup {
    folder: Folder,
    config: String,
    compiled: Compiled,
    web: SocketAddr,
    admin: SocketAddr,
}

impl Setup {
    /// A gateway that reads its services from a file.
    #[must_use]
    pub fn with_services(services: &[Service]) -> Self {
        let setup = Self::bare();
        setup.catalog().replace(services);
        setup.config("[providers.file]\npath = \"services.toml\"")
    }

    /// A gateway that reads its services from a Consul agent.
    #[must_use]
    pub fn with_consul(agent: SocketAddr) -> Self {
        Self::bare().config(&format!("[providers.consul-catalog]\naddress = \"{agent}\"\nexposed-by-default = false"))
    }

    fn bare() -> Self {
        let (folder, web, admin) = (Folder::new(), free_address(), free_address());
        let config = format!("[entrypoints.web]\naddress = \"{web}\"\n\n[admin]\naddress = \"{admin}\"\n\n");
        Self { folder, config, compiled: Compiled::Shared, web, admin }
    }

    /// Adds text to the configuration.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        writeln!(self.config, "{text}\n").expect("write to a string");
        self
    }

    /// Admin requests have to bring the token in this file.
    #[must_use]
    pub fn with_admin_token(mut self, file: &std::path::Path) -> Self {
        self.config = self.config.replacen("[admin]\n", &format!("[admin]\ntoken-file = {file:?}\n"), 1);
        self
    }

    /// Adds a plugin directory, empty at first.
    #[must_use]
    pub fn with_plugin_directory(self) -> Self {
        fs::create_dir_all(self.plugins().path()).expect("create the plugin directory");
        self.config("[plugins]\ndirectory = \"plugins\"")
    }

    /// Puts a plugin into the directory, which has to be there.
    #[must_use]
    pub fn with_plugin(self, name: &str, component: &[u8]) -> Self {
        self.plugins().put(name, component);
        self
    }

    /// Puts a signature beside a plugin in the directory.
    #[must_use]
    pub fn with_signature(self, name: &str, signature: &str) -> Self {
        self.plugins().put_signature(name, signature);
        self
    }

    /// Compiles every plugin anew, whatever other tests left behind.
    #[must_use]
    pub fn without_compiled_plugins(mut self) -> Self {
        self.compiled = Compiled::Nowhere;
        self
    }

    fn share_compiled_plugins(&mut self) -> io::Result<()> {
        let shared = target_dir().join("tests/compiled");
        fs::create_dir_all(&shared)?;
        fs::create_dir_all(self.folder.join("state"))?;
        std::os::unix::fs::symlink(shared, self.folder.join("state/compiled"))?;
        self.config += "[state]\ndirectory = \"state\"\n";
        Ok(())
    }

    fn catalog(&self) -> Catalog {
        Catalog::new(self.folder.join("services.toml"))
    }

    fn plugins(&self) -> Directory {
        Directory::new(self.folder.join("plugins"))
    }

    /// Starts the gateway and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(mut self) -> Gateway {
        if let Compiled::Shared = self.compiled {
            self.share_compiled_plugins().expect("make the state directory");
        }
        let file = self.folder.join("sluice.toml");
        fs::write(&file, &self.config).expect("write the configuration");
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(&file).current_dir(self.folder.path());
        let process = Process::start("sluice", &mut command, self.folder.join("sluice.log"));
        let mut gateway = Gateway { process, setup: self };
        gateway.wait_until_ready().await;
        gateway
    }
}

/// The binary under test: the one `SLUICE_BIN` names, else the one of a release build.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let named = std::env::var_os("SLUICE_BIN").map(|path| repository().join(path));
    let path = named.unwrap_or_else(|| target_dir().join("release/sluice"));
    assert!(path.is_file(), "no gateway at {}: run `cargo build --release -p sluice-gateway`", path.display());
    path
}

/// A running gateway; it is killed when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    // Dropped first: the log is read before its folder goes.
    process: Process,
    setup: Setup,
}

impl Gateway {
    async fn wait_until_ready(&mut self) {
        let admin = self.setup.admin;
        let ready = async || {
            let Ok(mut wire) = Wire::connect(admin).await else { return false };
            Request::get("admin", "/ready").send_on(&mut wire).await.is_ok_and(|answer| answer.status() == 200)
        };
        let start = std::time::Instant::now();
        while !ready().await {
            if let Some(status) = self.process.ended() {
                panic!("the gateway ended at its start ({status})");
            }
            assert!(start.elapsed() < crate::PATIENCE, "the gateway is not ready after {:?}", crate::PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.setup.folder.path()
    }

    /// The entrypoint `web`.
    #[must_use]
    pub fn web(&self) -> SocketAddr {
        self.setup.web
    }

    /// The admin API.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.setup.admin
    }

    /// The configuration it was started with.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.setup.folder.join("sluice.toml")
    }

    /// The process, for signals and for its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The catalog it watches, where it has a file provider.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        self.setup.catalog()
    }

    /// The directory it watches, where it has one.
    #[must_use]
    pub fn plugins(&self) -> Directory {
        self.setup.plugins()
    }

    /// Its own resident memory in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.process.id())
    }

    /// Sends a GET to the entrypoint.
    pub async fn get(&self, host: &str, target: &str) -> Answer {
        Request::get(host, target).send(self.setup.web).await
    }

    /// Sends a request to the entrypoint.
    pub async fn send(&self, request: Request) -> Answer {
        request.send(self.setup.web).await
    }

    /// Reads from the admin API.
    ///
    /// # Panics
    /// When the answer is not 200 with JSON.
    pub async fn api(&self, path: &str) -> Value {
        let answer = Request::get("admin", path).send(self.setup.admin).await;
        assert_eq!(answer.status(), 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// Waits until a host answers with a status.
    pub async fn until_status(&self, host: &str, status: u16) -> Duration {
        until(&format!("{host} answers {status}"), async || self.get(host, "/").await.status() == status).await
    }
}
