//! An agent in memory: a small registry with indices and blocking queries, and single replies put before it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sluice_model::{CatalogInstance, Health};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, Query, Reply, Source};
use crate::error::ReadError;

#[derive(Clone, Default)]
pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
    moved: Arc<Notify>,
}

/// The registry, and how the agent behaves.
pub(crate) struct World {
    pub(crate) index: u64,
    services: BTreeMap<String, Entry>,
    list_index: u64,
    pub(crate) known_leader: bool,
    pub(crate) filtered: bool,
    /// Answer everything so.
    pub(crate) broken: Option<Broken>,
    /// Answer one source so.
    pub(crate) broken_source: HashMap<String, Broken>,
    /// Replies that come first, by source.
    scripts: HashMap<String, VecDeque<Script>>,
    pub(crate) log: Vec<Logged>,
}

#[derive(Default)]
struct Entry {
    index: u64,
    tags: Vec<String>,
    instances: Vec<CatalogInstance>,
}

#[derive(Clone, Copy)]
pub(crate) enum Broken {
    Status(u16),
    Refused,
    Silent,
}

pub(crate) enum Script {
    Reply(Reply),
    Silent,
}

/// A query as it came.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) source: String,
    pub(crate) block: Option<(u64, Duration)>,
    pub(crate) stale: bool,
    pub(crate) retry: bool,
    pub(crate) at: Instant,
}

impl Default for World {
    fn default() -> Self {
        Self {
            index: 10,
            services: BTreeMap::new(),
            list_index: 10,
            known_leader: true,
            filtered: false,
            broken: None,
            broken_source: HashMap::new(),
            scripts: HashMap::new(),
            log: Vec::new(),
        }
    }
}

pub(crate) fn instance(port: u16) -> CatalogInstance {
    CatalogInstance {
        id: format!("n1/{port}"),
        node: "n1".into(),
        address: "10.0.0.1".into(),
        port,
        tags: Vec::new(),
        health: Health::Passing,
    }
}

/// A good answer.
pub(crate) fn reply(index: u64, body: &str) -> Reply {
    Reply {
        status: 200,
        index: Some(index),
        known_leader: true,
        last_contact: Duration::ZERO,
        filtered: false,
        body: body.as_bytes().to_vec(),
    }
}

impl Fake {
    /// With these services, each with instances on these ports.
    pub(crate) fn with(services: &[(&str, &[u16])]) -> Self {
        let fake = Self::default();
        for (name, ports) in services {
            fake.set(name, ports);
        }
        fake
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Changes anything and wakes blocked queries.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.moved.notify_waiters();
    }

    /// Registers exactly these instances.
    pub(crate) fn set(&self, name: &str, ports: &[u16]) {
        let instances = ports.iter().map(|port| instance(*port)).collect();
        self.set_instances(name, instances);
    }

    pub(crate) fn set_instances(&self, name: &str, instances: Vec<CatalogInstance>) {
        self.change(|world| world.set(name, instances));
    }

    /// A check turns critical: wakes the service's own queries only.
    pub(crate) fn fail_checks(&self, name: &str) {
        self.change(|world| {
            world.index += 1;
            let index = world.index;
            let entry = world.services.get_mut(name).unwrap();
            entry.index = index;
            entry.instances.iter_mut().for_each(|one| one.health = Health::Critical);
        });
    }

    pub(crate) fn set_tags(&self, name: &str, tags: &[&str]) {
        self.change(|world| {
            world.index += 1;
            world.list_index = world.index;
            let entry = world.services.entry(name.into()).or_default();
            entry.tags = tags.iter().map(ToString::to_string).collect();
        });
    }

    /// The registry forgets everything and counts from the start.
    pub(crate) fn wipe(&self) {
        self.change(|world| {
            world.services.clear();
            world.index = 3;
            world.list_index = 3;
        });
    }

    /// The empty name is the list of services.
    pub(crate) fn break_source(&self, source: &str, broken: Broken) {
        self.change(|world| {
            world.broken_source.insert(source.into(), broken);
        });
    }

    pub(crate) fn script(&self, source: &str, script: Script) {
        self.world().scripts.entry(source.into()).or_default().push_back(script);
    }

    pub(crate) fn log_of(&self, source: &str) -> Vec<Logged> {
        self.world().log.iter().filter(|query| query.source == source).cloned().collect()
    }
}

impl World {
    fn set(&mut self, name: &str, instances: Vec<CatalogInstance>) {
        self.index += 1;
        self.list_index = self.index;
        if instances.is_empty() {
            self.services.remove(name);
        } else {
            let entry = self.services.entry(name.into()).or_default();
            entry.index = self.index;
            entry.instances = instances;
        }
    }

    fn index_of(&self, source: &Source) -> u64 {
        match source {
            Source::Services => self.list_index,
            // As Consul does: a service that is not there has the index of the whole table.
            Source::Service(name) | Source::Members(name) => {
                self.services.get(&**name).map_or(self.index, |entry| entry.index)
            }
            Source::Authorities | Source::Certificate(_) => 1,
        }
    }

    fn body(&self, source: &Source) -> String {
        match source {
            Source::Services => {
                let listed: BTreeMap<_, _> = self.services.iter().map(|(name, entry)| (name, &entry.tags)).collect();
                serde_json::to_string(&listed).unwrap()
            }
            Source::Service(name) | Source::Members(name) => {
                let instances = self.services.get(&**name).map(|entry| &entry.instances[..]);
                let entries = instances.unwrap_or_default().iter().map(|one| match source {
                    Source::Members(_) => proxy(name, one),
                    _ => entry(name, one),
                });
                serde_json::to_string(&entries.collect::<Vec<_>>()).unwrap()
            }
            Source::Authorities => r#"{"Roots":[{"RootCert":"root"}]}"#.into(),
            Source::Certificate(name) => {
                format!(r#"{{"CertPEM":"leaf","PrivateKeyPEM":"key","ServiceURI":"spiffe://d/ns/n/dc/d/svc/{name}"}}"#)
            }
        }
    }

    fn answer(&self, source: &Source) -> Reply {
        Reply {
            known_leader: self.known_leader,
            filtered: self.filtered,
            ..reply(self.index_of(source), &self.body(source))
        }
    }
}

impl Agent for Fake {
    async fn get(&self, query: &Query<'_>) -> Result<Reply, ReadError> {
        let source = match query.source {
            Source::Services => String::new(),
            Source::Service(name) | Source::Members(name) => name.to_string(),
            Source::Authorities | Source::Certificate(_) => query.source.to_string(),
        };
        let (script, mut broken) = {
            let mut world = self.world();
            world.log.push(Logged {
                source: source.clone(),
                block: query.block,
                stale: query.stale,
                retry: query.retry,
                at: Instant::now(),
            });
            let script = world.scripts.get_mut(&source).and_then(VecDeque::pop_front);
            (script, world.broken.or(world.broken_source.get(&source).copied()))
        };
        match script {
            Some(Script::Reply(reply)) => return Ok(reply),
            Some(Script::Silent) => std::future::pending().await,
            None => {}
        }
        let until = query.block.map(|(_, wait)| Instant::now() + wait);
        loop {
            let moved = self.moved.notified();
            match broken {
                Some(Broken::Status(status)) => return Ok(Reply { status, ..reply(1, "broken") }),
                Some(Broken::Refused) => return Err(ReadError::Transport("refused".into())),
                Some(Broken::Silent) => std::future::pending().await,
                None => {}
            }
            if let (Some((index, _)), Some(until)) = (query.block, until)
                && self.world().index_of(query.source) <= index
                && Instant::now() < until
            {
                tokio::select! {
                    () = moved => {}
                    () = tokio::time::sleep_until(until) => {}
                }
                let world = self.world();
                broken = world.broken.or(world.broken_source.get(&source).copied());
                continue;
            }
            // A round trip, so that a loop without any pause would still end.
            sleep(Duration::from_micros(100)).await;
            return Ok(self.world().answer(query.source));
        }
    }
}

/// What speaks for an instance in the mesh: at a port a thousand above its own.
fn proxy(name: &str, one: &CatalogInstance) -> serde_json::Value {
    let mut shown = entry(&format!("{name}-proxy"), &CatalogInstance { port: one.port + 1000, ..one.clone() });
    shown["Service"]["Proxy"] = serde_json::json!({ "DestinationServiceName": name });
    shown
}

fn entry(name: &str, one: &CatalogInstance) -> serde_json::Value {
    let (node, id) = one.id.split_once('/').unwrap();
    let checks = match one.health {
        Health::Passing => serde_json::json!([]),
        Health::Warning => serde_json::json!([{"CheckID": "c", "Status": "warning"}]),
        Health::Critical => serde_json::json!([{"CheckID": "c", "Status": "critical"}]),
        Health::Maintenance => serde_json::json!([{"CheckID": "_node_maintenance", "Status": "critical"}]),
    };
    serde_json::json!({
        "Node": {"Node": node, "Address": "10.9.9.9"},
        "Service": {"ID": id, "Service": name, "Address": one.address, "Port": one.port, "Tags": one.tags},
        "Checks": checks,
    })
}
