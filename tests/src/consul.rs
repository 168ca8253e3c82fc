//! A real Consul agent on ports of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use serde_json::{Value, json};
use std::io::Write;

use crate::catalog::Service;
use crate::client::{Answer, Request};
use crate::process::{Folder, Process, free_address};
use crate::until;
use crate::wire::Wire;

/// A dev agent; it is killed when it is dropped.
#[derive(Debug)]
pub struct Consul {
    process: Process,
    address: SocketAddr,
    _folder: Folder,
}

impl Consul {
    /// Starts an agent, or returns none where there is no Consul, having said so. In CI that is a failure.
    ///
    /// # Panics
    /// When CI has no Consul, or the agent does not start.
    pub async fn start() -> Option<Self> {
        let Some(binary) = binary() else {
            assert!(env::var_os("CI").is_none(), "CI tests against a real Consul agent and there is none");
            // Past the capture of the test's output, so that it is seen even though the test passes.
            let _ = writeln!(io::stderr(), "skipped: no `consul` on PATH and no CONSUL_BIN");
            return None;
        };
        let (folder, address) = (Folder::new(), free_address());
        let mut command = Command::new(binary);
        command.args(["agent", "-dev", "-client=127.0.0.1", "-bind=127.0.0.1", "-log-level=warn"]);
        command.args(["-dns-port=-1", "-grpc-port=-1", &format!("-http-port={}", address.port())]);
        for option in ["server", "serf-lan", "serf-wan"] {
            command.arg(format!("-{option}-port={}", free_address().port()));
        }
        let process = Process::start("consul", &mut command, folder.join("consul.log"));
        let agent = Self { process, address, _folder: folder };
        until("consul lists its own node", async || agent.has_node().await).await;
        Some(agent)
    }

    async fn has_node(&self) -> bool {
        let Ok(mut wire) = Wire::connect(self.address).await else { return false };
        let answer = Request::get("consul", "/v1/catalog/nodes").send_on(&mut wire).await;
        answer.is_ok_and(|answer| answer.status() == 200 && answer.text().contains("\"Node\""))
    }

    /// Its HTTP API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Registers a service with all its instances. Each has a check, passing, of the same name as the instance.
    pub async fn register(&self, service: &Service) {
        for (id, port) in service.instances() {
            let check = json!({ "CheckID": id, "Name": id, "TTL": "1h", "Status": "passing" });
            let (name, tags) = (service.name(), service.tags());
            let body =
                json!({ "ID": id, "Name": name, "Address": "127.0.0.1", "Port": port, "Tags": tags, "Check": check });
            self.put("/v1/agent/service/register", &body).await;
        }
    }

    /// Registers what speaks for a service in the Connect mesh, with the service's tags.
    pub async fn register_proxy(&self, service: &Service, proxy: SocketAddr) {
        let (name, tags) = (service.name(), service.tags());
        let body = json!({
            "Name": format!("{name}-proxy"), "Kind": "connect-proxy", "Proxy": { "DestinationServiceName": name },
            "Address": proxy.ip().to_string(), "Port": proxy.port(), "Tags": tags,
        });
        self.put("/v1/agent/service/register", &body).await;
    }

    /// Reads a path of its API.
    pub async fn get(&self, path: &str) -> Value {
        let answer = Request::get("consul", path).send(self.address).await;
        assert_eq!(answer.status(), 200, "GET {path}: {}", answer.text());
        serde_json::from_str(&answer.text()).expect("read JSON")
    }

    /// Takes an instance out.
    pub async fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null).await;
    }

    /// Sets the state of an instance's check: `passing`, `warning` or `critical`.
    pub async fn set_check(&self, id: &str, status: &str) {
        self.put(&format!("/v1/agent/check/update/{id}"), &json!({ "Status": status })).await;
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = Request::new("PUT", "consul", path).body(body.as_bytes()).send(self.address).await;
        assert_eq!(answer.status(), 200, "PUT {path}: {}", answer.text());
        answer
    }
}

fn binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CONSUL_BIN").map(PathBuf::from) {
        assert!(named.is_file(), "CONSUL_BIN names {}, which is not a file", named.display());
        return Some(named);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder: PathBuf| folder.join("consul")).find(|file: &PathBuf| Path::is_file(file))
}
