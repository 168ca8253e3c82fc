//! A real Consul agent: one that runs already, or a dev agent of our own.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{START, command, free_address};
use crate::http;
use crate::process::Child;
use crate::workspace::find_consul;

pub(crate) struct Registry {
    address: SocketAddr,
    registered: Vec<String>,
    /// The agent, where it is ours. Dropped last, after the services were taken out again.
    agent: Option<Child>,
}

impl Registry {
    /// Uses the agent at an address.
    pub(crate) fn at(address: SocketAddr) -> Result<Self> {
        let registry = Self { address, registered: Vec::new(), agent: None };
        ensure!(registry.has_leader(), "no Consul agent with a leader answers at {address}");
        Ok(registry)
    }

    /// Starts a dev agent on ports of its own, so that it meets no other agent.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let Some(consul) = find_consul()? else {
            bail!("there is no `consul` on PATH: install it, or name a running agent by --consul-addr");
        };
        let address = free_address()?;
        let mut command = command(&consul);
        command.args(["agent", "-dev", "-client=127.0.0.1", "-bind=127.0.0.1", "-log-level=warn"]);
        command.args(["-dns-port=-1", "-grpc-port=-1", &format!("-http-port={}", address.port())]);
        for option in ["server", "serf-lan", "serf-wan"] {
            command.arg(format!("-{option}-port={}", free_address()?.port()));
        }
        let agent = Child::spawn_logged("consul", &mut command, &folder.join("consul.log"))?;
        let mut registry = Self { address, registered: Vec::new(), agent: Some(agent) };
        registry.wait()?;
        Ok(registry)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Registers an instance as Registrator would.
    pub(crate) fn register(&mut self, service: &str, id: &str, instance: SocketAddr, tags: &[&str]) -> Result<()> {
        let (ip, port) = (instance.ip().to_string(), instance.port());
        let body = json!({ "ID": id, "Name": service, "Address": ip, "Port": port, "Tags": tags });
        let answer = self.put("/v1/agent/service/register", &body.to_string())?;
        ensure!(answer.status == 200, "register {id} in Consul: {} {}", answer.status, answer.body.trim());
        self.registered.push(id.to_owned());
        Ok(())
    }

    /// The same with a check that says how the instance is.
    pub(crate) fn register_with_health(
        &mut self,
        service: &str,
        id: &str,
        instance: SocketAddr,
        tags: &[&str],
        health: &str,
    ) -> Result<()> {
        let (ip, port) = (instance.ip().to_string(), instance.port());
        let check = json!({ "TTL": "1h", "Status": health });
        let body = json!({ "ID": id, "Name": service, "Address": ip, "Port": port, "Tags": tags, "Check": check });
        let answer = self.put("/v1/agent/service/register", &body.to_string())?;
        ensure!(answer.status == 200, "register {id} in Consul: {} {}", answer.status, answer.body.trim());
        self.registered.push(id.to_owned());
        Ok(())
    }

    /// Waits until the catalog has what the agent was told: an agent passes on its services in any order.
    pub(crate) fn until_listed(&self, ids: &[String]) -> Result<()> {
        self.until(ids, true)
    }

    /// The same after they were taken out.
    pub(crate) fn until_gone(&self, ids: &[String]) -> Result<()> {
        self.until(ids, false)
    }

    fn until(&self, ids: &[String], wanted: bool) -> Result<()> {
        let deadline = Instant::now() + START;
        for id in ids {
            let quoted = format!("\"ServiceID\":\"{id}\"");
            let listed = |answer: http::Answer| answer.body.replace("\": \"", "\":\"").contains(&quoted);
            let state = || http::request(self.address, "GET", "consul", "/v1/health/state/any", "");
            while state().map(listed).ok() != Some(wanted) {
                ensure!(Instant::now() < deadline, "consul is not told of {id} after {START:?}");
                sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Takes an instance out again.
    pub(crate) fn deregister(&mut self, id: &str) -> Result<()> {
        let answer = self.put(&format!("/v1/agent/service/deregister/{id}"), "")?;
        ensure!(answer.status == 200, "deregister {id} in Consul: {}", answer.status);
        self.registered.retain(|known| known != id);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while !self.has_leader() {
            if let Some(agent) = &mut self.agent {
                agent.check()?;
                ensure!(Instant::now() < deadline, "consul has no leader after {START:?}{}", agent.log_tail());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// A dev agent answers before it can take a registration; it can once it lists itself among the nodes.
    fn has_leader(&self) -> bool {
        http::request(self.address, "GET", "consul", "/v1/catalog/nodes", "")
            .is_ok_and(|answer| answer.status == 200 && answer.body.contains("\"Node\""))
    }

    fn put(&self, path: &str, body: &str) -> Result<http::Answer> {
        http::request(self.address, "PUT", "consul", path, body).context("ask Consul")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for id in &self.registered {
            if let Err(error) = self.put(&format!("/v1/agent/service/deregister/{id}"), "") {
                eprintln!("deregister {id}: {error:#}");
            }
        }
    }
}
