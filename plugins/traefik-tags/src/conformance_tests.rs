//! The conformance vectors, as far as they can be decided without a gateway: which route answers a request, and what
//! its service looks like. The vectors lie beside this checkout; where they are missing, the test says so and passes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_model::rule::HeaderValues;
use sluice_plugin_sdk::router::{Contribution, Health, Instance, Service};

use crate::native::{self, Answer, Request as NativeRequest};
use crate::testing::contribution;

/// Vectors that contradict each other or the rule that each instance is read in one dialect.
const DELIBERATE: &[&str] = &[
    // One of v1 and v3 has to be wrong about a service without tags of either dialect: it is exposed, as in v1.
    "v3-enable-garbage-drops-service",
    // An instance with tags of one dialect gets no default rule of the other.
    "v1-v3-tags-give-default-rule",
    "v3-v1-tags-give-default-router",
    // The definition of most instances is kept instead of none.
    "v3-router-conflict-across-instances-deleted",
    // Tags can say `weighted` here; that its parts do not exist is found out when services are linked.
    "v3-weighted-by-tags-drops-instance",
];

/// Vectors whose answer is a policy's, which looks here as if there were no route.
const OF_POLICIES: &[&str] = &["v3-ipallowlist-custom-status"];

#[derive(Deserialize)]
struct Vector {
    id: String,
    version: String,
    service: String,
    tags: Vec<String>,
    request: Request,
    expect: Map<String, Value>,
    instances: Option<Vec<RawInstance>>,
    #[serde(default)]
    other_services: Vec<OtherService>,
    #[serde(default)]
    provider: Map<String, Value>,
    health: Option<String>,
    client_ip: Option<IpAddr>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    host: String,
    path: String,
    headers: Headers,
}

#[derive(Deserialize)]
struct RawInstance {
    address: String,
    port: u16,
    #[serde(default)]
    tags: Vec<String>,
    health: Option<String>,
}

#[derive(Deserialize)]
struct OtherService {
    service: String,
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Headers(Map<String, Value>);

impl HeaderValues for Headers {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().any(|(key, value)| key.eq_ignore_ascii_case(name) && test(value.as_str().unwrap().as_bytes()))
    }
}

fn vectors() -> Option<Vec<Vector>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let read = |name: &str| -> Option<Vec<Vector>> {
        Some(serde_json::from_str(&std::fs::read_to_string(folder.join(name)).ok()?).unwrap())
    };
    Some(read("v1.json")?.into_iter().chain(read("v3.json")?).collect())
}

#[test]
fn the_vectors_hold_where_they_can_be_decided_here() {
    let Some(vectors) = vectors() else {
        eprintln!("skipped: there are no vectors at ../shared/conformance");
        return;
    };
    let (mut checked, mut failed) = (0, BTreeSet::new());
    for vector in &vectors {
        match problem(vector) {
            None => continue,
            Some(None) => {}
            Some(Some(problem)) => {
                eprintln!("{}: {problem}", vector.id);
                failed.insert(vector.id.as_str());
            }
        }
        checked += 1;
    }
    let expected: BTreeSet<&str> = [DELIBERATE, OF_POLICIES].concat().into_iter().collect();
    assert_eq!(failed, expected, "the vectors that fail are not the listed ones");
    assert!(checked > 150, "only {checked} of {} vectors were decided", vectors.len());
}

/// Nothing where the vector cannot be decided here, else what does not hold.
fn problem(vector: &Vector) -> Option<Option<String>> {
    let contributions = contributions(vector);
    let answer = answer(vector, &contributions)?;
    let mut decided = false;
    for (key, wanted) in &vector.expect {
        let got = match key.as_str() {
            "status" => match (&answer, wanted.as_u64()) {
                (Answer::NotFound, _) => json!(404),
                (Answer::Redirect, _) => json!(301),
                (Answer::Served { answers: false, .. }, Some(200 | 301 | 404)) => json!(200),
                // What steps and upstreams answer is the gateway's business.
                _ => continue,
            },
            "matched" => json!(answer != Answer::NotFound),
            "winner" => match &answer {
                Answer::Served { service, .. } if vector.version == "v1" => json!(service),
                Answer::Served { route, .. } => json!(route),
                _ => Value::Null,
            },
            "servers" => targets(&contributions[0], |target| json!(url(target))),
            "weights" => targets(&contributions[0], |target| json!(target.weight)),
            _ => continue,
        };
        decided = true;
        if got != *wanted {
            return Some(Some(format!("{key}: expected {wanted}, got {got}")));
        }
    }
    decided.then_some(None)
}

fn contributions(vector: &Vector) -> Vec<Contribution> {
    let settings = settings(vector);
    let mut services = vec![main_service(vector)];
    services
        .extend(vector.other_services.iter().map(|other| service(&other.service, vec![default_instance(&other.tags)])));
    services.iter().map(|service| contribution(&settings, service)).collect()
}

/// The options the runner would give the gateway.
fn settings(vector: &Vector) -> String {
    let mut settings = json!({ "entrypoints": [{ "name": "web" }, { "name": "http" }, { "name": "https", "tls": true, "port": 443 }] });
    let names = [
        ("prefix", "prefix"),
        ("exposedByDefault", "exposed-by-default"),
        ("domain", "domain"),
        ("frontEndRule", "frontend-rule"),
        ("defaultRule", "default-rule"),
        ("constraints", "constraints"),
    ];
    for (key, name) in names {
        if let Some(value) = vector.provider.get(key) {
            settings[name] = value.clone();
        }
    }
    match vector.provider.get("strictChecks") {
        Some(Value::Bool(true)) => settings["strict-checks"] = json!(["passing"]),
        Some(Value::Bool(false)) => settings["strict-checks"] = json!(["passing", "warning"]),
        Some(list) => settings["strict-checks"] = list.clone(),
        None => {}
    }
    settings.to_string()
}

fn main_service(vector: &Vector) -> Service {
    let health = |own: &Option<String>| match own.as_ref().or(vector.health.as_ref()).map(String::as_str) {
        None | Some("passing") => Health::Passing,
        Some("warning") => Health::Warning,
        Some("critical") => Health::Critical,
        other => unreachable!("health {other:?}"),
    };
    let instances = match &vector.instances {
        None => vec![Instance { health: health(&None), ..default_instance(&vector.tags) }],
        Some(all) => all
            .iter()
            .map(|raw| Instance { health: health(&raw.health), ..at(&raw.address, raw.port, &raw.tags) })
            .collect(),
    };
    service(&vector.service, instances)
}

fn service(name: &str, mut instances: Vec<Instance>) -> Service {
    for (number, instance) in instances.iter_mut().enumerate() {
        instance.id = format!("{name}-{number}");
    }
    Service { name: name.to_owned(), instances }
}

fn default_instance(tags: &[String]) -> Instance {
    at("10.0.0.10", 8080, tags)
}

fn at(address: &str, port: u16, tags: &[String]) -> Instance {
    let (id, node, tags) = (String::new(), String::new(), tags.to_vec());
    Instance { id, node, address: address.to_owned(), port, tags, health: Health::Passing }
}

/// Which route answers, if that can be said here.
fn answer(vector: &Vector, contributions: &[Contribution]) -> Option<Answer> {
    let client = vector.client_ip.unwrap_or_else(|| "127.0.0.1".parse().unwrap());
    let request = NativeRequest {
        method: &vector.request.method,
        host: &vector.request.host,
        target: &vector.request.path,
        headers: &vector.request.headers,
        client,
    };
    native::answer(contributions, &request)
}

fn targets(one: &Contribution, of: impl Fn(&sluice_plugin_sdk::router::Target) -> Value) -> Value {
    one.services.iter().flat_map(|service| service.targets()).map(of).collect()
}

fn url(target: &sluice_plugin_sdk::router::Target) -> String {
    use sluice_plugin_sdk::router::Scheme;
    let scheme = match target.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::H2c => "h2c",
    };
    match target.address.contains(':') {
        true => format!("{scheme}://[{}]:{}", target.address, target.port),
        false => format!("{scheme}://{}:{}", target.address, target.port),
    }
}
