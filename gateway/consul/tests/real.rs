//! The watcher against a real Consul agent, started on free loopback ports. Runs where `consul` is on PATH or
//! `CONSUL_BIN` names it; in CI (`CI=true`) it has to be there, elsewhere the tests are skipped and say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_consul::{ConsulConfig, Handle, Reason, Status, TokenSource, Watcher};
use sluice_model::{Catalog, Health};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const ACL: &str =
    r#"acl { enabled = true default_policy = "deny" tokens { master = "11111111-2222-3333-4444-555555555555" } }"#;

/// An agent in `-dev` mode: it forgets everything when it ends.
struct Consul {
    binary: PathBuf,
    port: u16,
    acl: bool,
    process: Child,
}

struct Watching {
    handle: Handle,
    snapshots: mpsc::UnboundedReceiver<Arc<Catalog>>,
    last: Arc<Catalog>,
    running: JoinHandle<()>,
}

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("CONSUL_BIN").filter(|name| !name.is_empty()).map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("consul")).find(|file| file.is_file())
    });
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(found.is_some() || !in_ci, "no consul on PATH and no CONSUL_BIN: run .ci/consul.sh");
    if found.is_none() {
        println!("SKIPPED: no consul on PATH and no CONSUL_BIN");
    }
    found
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Consul {
    fn start(acl: bool) -> Option<Self> {
        let binary = binary()?;
        let [port] = free_ports();
        let process = Self::spawn(&binary, port, acl);
        Some(Self { binary, port, acl, process })
    }

    fn spawn(binary: &PathBuf, port: u16, acl: bool) -> Child {
        // A port may be gone before the agent takes it; then the agent ends, and the next try takes others.
        for _ in 0..5 {
            let [server, serf] = free_ports();
            let ports = format!(
                "ports {{ http = {port} server = {server} serf_lan = {serf} serf_wan = -1 dns = -1 grpc = -1 }}"
            );
            let mut process = Command::new(binary)
                .args(["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "err"])
                .args(["-hcl", &ports, "-hcl", if acl { ACL } else { "" }])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let started = Instant::now();
            while process.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
                if try_call(port, "GET", "/v1/health/node/self", "").is_some() && ready(port) {
                    return process;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("{} does not start", binary.display());
    }

    fn config(&self) -> ConsulConfig {
        ConsulConfig::new(format!("127.0.0.1:{}", self.port))
    }

    fn put(&self, path: &str, body: &str) {
        let answer = try_call(self.port, "PUT", path, body).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    fn register(&self, service: &str, id: &str, port: u16) {
        let check = format!(r#"{{"CheckID":"ttl:{id}","TTL":"1h","Status":"passing"}}"#);
        let body = format!(r#"{{"Name":"{service}","ID":"{id}","Address":"127.0.0.1","Port":{port},"Check":{check}}}"#);
        self.put("/v1/agent/service/register", &body);
    }

    fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), "");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// `kill -9`, and another agent with nothing in it at the same address.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = Self::spawn(&self.binary, self.port, self.acl);
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The agent has a leader, and has registered itself.
fn ready(port: u16) -> bool {
    try_call(port, "GET", "/v1/catalog/service/consul", "").is_some_and(|answer| answer.contains("\"consul\""))
}

/// One exchange; `None` where there is no agent.
fn try_call(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let length = body.len();
    let head = "Host: consul\r\nConnection: close\r\nX-Consul-Token: ";
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}{TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

impl Watching {
    fn start(config: ConsulConfig) -> Self {
        let watcher = Watcher::new(config, |name, _| name != "consul").unwrap();
        let handle = watcher.handle();
        let (out, snapshots) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            watcher.run(move |catalog| drop(out.send(catalog))).await;
        });
        Self { handle, snapshots, last: Arc::default(), running }
    }

    /// Waits for a snapshot that looks like this.
    async fn until(&mut self, wanted: impl Fn(&Catalog) -> bool) -> Arc<Catalog> {
        let found = async {
            while !wanted(&self.last) {
                self.last = self.snapshots.recv().await.unwrap();
            }
        };
        let found = timeout(PATIENCE, found).await.is_ok();
        assert!(found, "last snapshot {:?}, status {:?}", self.last, self.handle.status());
        Arc::clone(&self.last)
    }

    async fn until_status(&mut self, wanted: impl Fn(&Status) -> bool) {
        let found = async {
            while !wanted(&self.handle.status()) {
                assert!(self.handle.changed().await);
            }
        };
        let found = timeout(PATIENCE, found).await.is_ok();
        assert!(found, "status {:?}", self.handle.status());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn count(catalog: &Catalog, service: &str) -> usize {
    catalog.services.get(service).map_or(0, |service| service.instances.len())
}

fn health(catalog: &Catalog, service: &str) -> Option<Health> {
    Some(catalog.services.get(service)?.instances.first()?.health)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_checks_and_maintenance_are_seen() {
    let Some(consul) = Consul::start(false) else { return };
    consul.register("web", "web-1", 9001);
    let mut watching = Watching::start(consul.config());
    let first = watching.until(|catalog| count(catalog, "web") == 1).await;
    let instance = &first.services["web"].instances[0];
    assert!(instance.id.ends_with("/web-1"));
    assert_eq!((instance.port, instance.health), (9001, Health::Passing));

    consul.register("web", "web-2", 9002);
    watching.until(|catalog| count(catalog, "web") == 2).await;
    consul.register("db", "db-1", 9003);
    let before = watching.until(|catalog| count(catalog, "db") == 1).await;
    for (status, expected) in [("fail", Health::Critical), ("warn", Health::Warning), ("pass", Health::Passing)] {
        consul.put(&format!("/v1/agent/check/{status}/ttl:db-1"), "");
        watching.until(|catalog| health(catalog, "db") == Some(expected)).await;
    }
    for of in ["service/maintenance/db-1", "maintenance"] {
        for (enable, expected) in [("true", Health::Maintenance), ("false", Health::Passing)] {
            consul.put(&format!("/v1/agent/{of}?enable={enable}"), "");
            watching.until(|catalog| health(catalog, "db") == Some(expected)).await;
        }
    }
    let after = watching.until(|catalog| health(catalog, "web") == Some(Health::Passing)).await;
    assert_eq!(before.services["db"], after.services["db"]);

    consul.deregister("db-1");
    watching.until(|catalog| count(catalog, "db") == 0).await;
    consul.deregister("web-1");
    watching.until(|catalog| count(catalog, "web") == 1).await;
    let status = watching.handle.status();
    assert!(status.reachable && status.known_leader && status.held_removals.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_change_takes() {
    let Some(consul) = Consul::start(false) else { return };
    let mut watching = Watching::start(consul.config());
    let (mut registered, mut failed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..30 {
        let (name, id) = (format!("s{round}"), format!("i{round}"));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        consul.register(&name, &id, 9000);
        watching.until(|catalog| count(catalog, &name) == 1).await;
        registered.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        consul.put(&format!("/v1/agent/check/fail/ttl:{id}"), "");
        watching.until(|catalog| health(catalog, &name) == Some(Health::Critical)).await;
        failed.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        consul.deregister(&id);
        watching.until(|catalog| count(catalog, &name) == 0).await;
        removed.push(started.elapsed());
    }
    for (what, mut times) in [("register", registered), ("fail a check", failed), ("deregister", removed)] {
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what}, request to snapshot: median {median:.1?}, worst {worst:.1?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_and_wiped_agent_removes_nothing() {
    let Some(mut consul) = Consul::start(false) else { return };
    // Enough history for the new agent's index to be lower.
    for round in 0..30 {
        consul.register("history", &format!("h{round}"), 9000);
    }
    for round in 0..30 {
        consul.deregister(&format!("h{round}"));
    }
    consul.register("web", "web-1", 9001);
    consul.register("web", "web-2", 9002);
    consul.register("db", "db-1", 9003);
    let mut watching = Watching::start(consul.config());
    let before = watching.until(|catalog| count(catalog, "web") == 2 && count(catalog, "db") == 1).await;

    consul.kill();
    watching.until_status(|status| !status.reachable).await;
    consul.restart();
    watching.until_status(|status| status.reachable && status.held_removals.len() == 3).await;
    let held = watching.handle.status().held_removals.clone();
    assert!(held.iter().all(|held| held.reason == Reason::IndexBackwards), "{held:?}");
    assert!(watching.snapshots.try_recv().is_err(), "a snapshot without any change");

    consul.register("web", "web-1", 9001);
    watching.until_status(|status| status.held_removals.len() == 2).await;
    consul.register("web", "web-3", 9004);
    let after = watching.until(|catalog| count(catalog, "web") == 3).await;
    assert!(Arc::ptr_eq(&before.services["db"], &after.services["db"]));
    watching.handle.accept();
    let after = watching.until(|catalog| count(catalog, "web") == 2).await;
    assert_eq!(count(&after, "db"), 0);
    assert!(watching.handle.status().held_removals.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_agent_is_noticed_and_taken_up_again() {
    let Some(consul) = Consul::start(false) else { return };
    consul.register("web", "web-1", 9001);
    let config = ConsulConfig { wait: Duration::from_secs(1), ..consul.config() };
    let mut watching = Watching::start(config);
    watching.until(|catalog| count(catalog, "web") == 1).await;
    consul.signal("-STOP");
    watching.until_status(|status| !status.reachable).await;
    assert!(watching.handle.status().last_error.as_ref().unwrap().message.contains("stuck"));
    assert!(watching.snapshots.try_recv().is_err());
    consul.signal("-CONT");
    watching.until_status(|status| status.reachable).await;
    consul.register("web", "web-2", 9002);
    watching.until(|catalog| count(catalog, "web") == 2).await;
}

/// An agent takes 200 connections from one address by default and resets the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_services_than_the_agent_takes_connections() {
    let Some(consul) = Consul::start(false) else { return };
    for round in 0..250 {
        consul.register(&format!("s{round}"), &format!("i{round}"), 9000);
    }
    let mut watching = Watching::start(consul.config());
    watching.until(|catalog| catalog.services.len() == 250).await;
    for round in [0, 100, 249] {
        consul.register(&format!("s{round}"), &format!("j{round}"), 9001);
        watching.until(|catalog| count(catalog, &format!("s{round}")) == 2).await;
    }
    assert_eq!(watching.handle.status().last_error, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_are_read_by_their_exact_spelling() {
    let Some(consul) = Consul::start(false) else { return };
    let good = ["with space", "sla/sh", "per%cent", "a?b#c", "名字", "Case", "case"];
    let unreadable = ["a//b", ".."];
    for (number, name) in good.iter().chain(&unreadable).enumerate() {
        consul.register(name, &format!("i{number}"), 9000);
    }
    let mut watching = Watching::start(consul.config());
    let catalog = watching.until(|catalog| !catalog.services.is_empty()).await;
    let names: Vec<_> = catalog.services.keys().map(String::as_str).collect();
    let mut expected = good;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(catalog.services.values().all(|service| service.instances.len() == 1));
    let status = watching.handle.status();
    assert_eq!(status.failing.keys().collect::<Vec<_>>(), ["..", "a//b"], "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_reported_and_its_rotation_picked_up() {
    let Some(consul) = Consul::start(true) else { return };
    consul.register("web", "web-1", 9001);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{}", std::process::id()));
    std::fs::write(&path, "99999999-2222-3333-4444-555555555555").unwrap();
    let config = ConsulConfig { token: Some(TokenSource::File(path.clone())), ..consul.config() };
    let mut watching = Watching::start(config);
    watching.until_status(|status| status.last_error.is_some()).await;
    let message = watching.handle.status().last_error.as_ref().unwrap().message.clone();
    assert!(message.contains("403") && message.contains("ACL not found"), "{message}");
    std::fs::write(&path, TOKEN).unwrap();
    watching.until(|catalog| count(catalog, "web") == 1).await;
    std::fs::remove_file(&path).unwrap();
}
