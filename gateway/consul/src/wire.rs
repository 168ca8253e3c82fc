//! Consul's JSON, as versions since 1.0 write it, turned into the model's nouns. Nothing else reads it.
//!
//! Lenient where a stranger's mistake could hurt others: an entry that makes no sense is left out and named, the rest
//! of the answer counts.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_model::{CatalogInstance, Health};

use crate::mesh::{Authorities, Certificate};

/// Set by `consul maint -enable` on a node.
const NODE_MAINTENANCE: &str = "_node_maintenance";
/// Set by `consul maint -enable -service=…`; the service's id follows.
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// The names in the registry, each with the tags of all its instances together, sorted.
pub(crate) type Listing = BTreeMap<String, Vec<String>>;

/// The instances of one service, and the entries that had to be left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Instances {
    /// Ordered by id, each id once.
    pub(crate) instances: Vec<CatalogInstance>,
    /// Which entry is wrong, and how.
    pub(crate) refused: Vec<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(rename = "Node")]
    node: RawNode,
    #[serde(rename = "Service")]
    service: RawService,
    #[serde(rename = "Checks")]
    checks: Option<Vec<RawCheck>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawNode {
    #[serde(default)]
    node: String,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawService {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: i64,
    tags: Option<Vec<String>>,
    #[serde(default)]
    proxy: RawProxy,
    #[serde(default)]
    connect: RawConnect,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawProxy {
    destination_service_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawConnect {
    native: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAuthorities {
    roots: Option<Vec<RawAuthority>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAuthority {
    root_cert: String,
}

#[derive(Deserialize)]
struct RawCertificate {
    #[serde(rename = "CertPEM")]
    certificate: String,
    #[serde(rename = "PrivateKeyPEM")]
    key: String,
    #[serde(rename = "ServiceURI")]
    id: String,
}

#[derive(Deserialize)]
struct RawCheck {
    #[serde(rename = "CheckID", default)]
    id: String,
    #[serde(rename = "Status", default)]
    status: String,
}

/// Reads `/v1/catalog/services`.
pub(crate) fn listing(body: &[u8]) -> Result<Listing, serde_json::Error> {
    let raw: BTreeMap<String, Option<Vec<String>>> = serde_json::from_slice(body)?;
    Ok(raw
        .into_iter()
        .map(|(name, tags)| {
            let mut tags = tags.unwrap_or_default();
            tags.sort_unstable();
            (name, tags)
        })
        .collect())
}

/// Reads `/v1/health/service/<name>`. Consul looks names up without regard to letter case, so the answer may hold
/// instances of a service that is listed under another spelling: those belong there.
pub(crate) fn instances(name: &str, body: &[u8]) -> Result<Instances, serde_json::Error> {
    entries(body, |service| service.service == name)
}

/// Reads `/v1/health/connect/<name>`: the proxies of a service's instances, and instances that speak for themselves.
pub(crate) fn members(name: &str, body: &[u8]) -> Result<Instances, serde_json::Error> {
    let is_native = |service: &RawService| service.connect.native && service.service == name;
    entries(body, |service| service.proxy.destination_service_name == name || is_native(service))
}

/// Reads `/v1/agent/connect/ca/roots`.
pub(crate) fn authorities(body: &[u8]) -> Result<Authorities, serde_json::Error> {
    let raw: RawAuthorities = serde_json::from_slice(body)?;
    Ok(Authorities(raw.roots.unwrap_or_default().into_iter().map(|root| root.root_cert).collect()))
}

/// Reads `/v1/agent/connect/ca/leaf/<name>`.
pub(crate) fn certificate(body: &[u8]) -> Result<Certificate, serde_json::Error> {
    let RawCertificate { certificate, key, id } = serde_json::from_slice(body)?;
    Ok(Certificate { certificate, key, id })
}

fn entries(body: &[u8], counts: impl Fn(&RawService) -> bool) -> Result<Instances, serde_json::Error> {
    let raw: Option<Vec<serde_json::Value>> = serde_json::from_slice(body)?;
    let mut read = Instances::default();
    for value in raw.unwrap_or_default() {
        let label = label(&value);
        match serde_json::from_value::<RawEntry>(value) {
            Ok(entry) if !counts(&entry.service) => {}
            Ok(entry) => match instance(entry) {
                Ok(instance) => read.instances.push(instance),
                Err(problem) => read.refused.push(format!("{label}: {problem}")),
            },
            Err(error) => read.refused.push(format!("{label}: {error}")),
        }
    }
    read.instances.sort_by(|a, b| a.id.cmp(&b.id));
    read.instances.dedup_by(|a, b| a.id == b.id);
    Ok(read)
}

/// Names an entry that may not be readable as a whole.
fn label(value: &serde_json::Value) -> String {
    let text = |pointer| value.pointer(pointer).and_then(serde_json::Value::as_str);
    let id = text("/Service/ID").unwrap_or("without id");
    let node = text("/Node/Node").unwrap_or("unknown node");
    format!("instance {id} on {node}")
}

fn instance(entry: RawEntry) -> Result<CatalogInstance, String> {
    let RawEntry { node, service, checks } = entry;
    let address = if service.address.is_empty() { node.address } else { service.address };
    if address.is_empty() {
        return Err("neither the service nor its node has an address".into());
    }
    let port = u16::try_from(service.port)
        .map_err(|_| format!("{} is not a port: register one from 0 to 65535", service.port))?;
    Ok(CatalogInstance {
        id: identity(&node.node, service.id),
        node: node.node,
        address,
        port,
        tags: service.tags.unwrap_or_default(),
        health: health(&checks.unwrap_or_default()),
    })
}

/// Ids of services are unique per node only, so the node is part of the identity.
fn identity(node: &str, id: String) -> String {
    if node.is_empty() { id } else { format!("{node}/{id}") }
}

fn health(checks: &[RawCheck]) -> Health {
    checks.iter().map(one_check).max().unwrap_or_default()
}

fn one_check(check: &RawCheck) -> Health {
    if check.id == NODE_MAINTENANCE || check.id.starts_with(SERVICE_MAINTENANCE) {
        return Health::Maintenance;
    }
    match check.status.as_str() {
        "passing" => Health::Passing,
        "warning" => Health::Warning,
        _ => Health::Critical,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn entry(service: &str, checks: &str) -> String {
        format!(r#"{{"Node":{{"Node":"n1","Address":"10.0.0.1"}},"Service":{service},"Checks":{checks}}}"#)
    }

    fn one(service: &str, checks: &str) -> Instances {
        instances("web", format!("[{}]", entry(service, checks)).as_bytes()).unwrap()
    }

    #[test]
    fn an_instance_is_read_with_its_node_and_tags() {
        let read = one(r#"{"ID":"web-1","Service":"web","Address":"10.0.0.9","Port":81,"Tags":[" b","a"]}"#, "[]");
        let expected = CatalogInstance {
            id: "n1/web-1".into(),
            node: "n1".into(),
            address: "10.0.0.9".into(),
            port: 81,
            tags: vec![" b".into(), "a".into()],
            health: Health::Passing,
        };
        assert_eq!(read, Instances { instances: vec![expected], refused: vec![] });
    }

    #[test]
    fn the_node_lends_its_address_and_nulls_are_empty() {
        let read = one(r#"{"ID":"a","Service":"web","Address":"","Port":0,"Tags":null}"#, "null");
        assert_eq!(read.instances[0].address, "10.0.0.1");
        assert_eq!(read.instances[0].tags, Vec::<String>::new());
        assert_eq!(instances("web", b"null").unwrap(), Instances::default());
    }

    #[test]
    fn the_worst_check_counts_and_maintenance_is_worse_than_all() {
        let health = |checks: &str| one(r#"{"ID":"a","Service":"web"}"#, checks).instances[0].health;
        assert_eq!(health(r#"[{"CheckID":"serfHealth","Status":"passing"}]"#), Health::Passing);
        assert_eq!(
            health(r#"[{"CheckID":"a","Status":"warning"},{"CheckID":"b","Status":"passing"}]"#),
            Health::Warning
        );
        assert_eq!(
            health(r#"[{"CheckID":"serfHealth","Status":"critical"},{"CheckID":"b","Status":"warning"}]"#),
            Health::Critical
        );
        assert_eq!(health(r#"[{"CheckID":"c","Status":"unheard of"}]"#), Health::Critical);
        for id in ["_node_maintenance", "_service_maintenance:a"] {
            let checks = format!(r#"[{{"CheckID":"{id}","Status":"critical"}},{{"CheckID":"x","Status":"critical"}}]"#);
            assert_eq!(health(&checks), Health::Maintenance);
        }
    }

    #[test]
    fn a_bad_entry_is_named_and_leaves_the_others_alone() {
        let body = format!(
            r#"[{},{},{},7]"#,
            entry(r#"{"ID":"bad","Service":"web","Port":70000}"#, "[]"),
            entry(r#"{"ID":"worse","Service":"web","Port":"x"}"#, "[]"),
            entry(r#"{"ID":"good","Service":"web","Port":80}"#, "[]"),
        );
        let read = instances("web", body.as_bytes()).unwrap();
        assert_eq!(read.instances.len(), 1);
        assert_eq!(read.refused.len(), 3);
        assert!(read.refused[0].contains("bad on n1") && read.refused[0].contains("70000"));
        assert!(read.refused[1].contains("worse on n1"));
        let homeless = br#"[{"Node":{},"Service":{"ID":"a","Service":"web"}}]"#;
        assert_eq!(instances("web", homeless).unwrap().refused.len(), 1);
    }

    #[test]
    fn another_spelling_of_the_name_is_another_service() {
        let read = one(r#"{"ID":"a","Service":"Web"}"#, "[]");
        assert_eq!(read, Instances::default());
    }

    #[test]
    fn members_are_proxies_of_the_service_and_instances_that_need_none() {
        let body = format!(
            "[{},{},{},{}]",
            entry(r#"{"ID":"p","Service":"web-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}"#, "[]"),
            entry(r#"{"ID":"n","Service":"web","Port":2,"Connect":{"Native":true},"Proxy":{}}"#, "[]"),
            entry(r#"{"ID":"o","Service":"web","Port":3}"#, "[]"),
            entry(r#"{"ID":"x","Service":"db-proxy","Port":4,"Proxy":{"DestinationServiceName":"db"}}"#, "[]"),
        );
        let read = members("web", body.as_bytes()).unwrap();
        assert_eq!(read.instances.iter().map(|one| one.port).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(read.refused, Vec::<String>::new());
    }

    #[test]
    fn equal_states_compare_equal_whatever_their_order() {
        let (a, b) = (entry(r#"{"ID":"a","Service":"web"}"#, "[]"), entry(r#"{"ID":"b","Service":"web"}"#, "[]"));
        let read = |body: String| instances("web", body.as_bytes()).unwrap();
        assert_eq!(read(format!("[{a},{b}]")), read(format!("[{b},{a},{b}]")));
        assert_eq!(
            listing(br#"{"web":["b","a"],"x":null}"#).unwrap(),
            listing(br#"{"x":[],"web":["a","b"]}"#).unwrap()
        );
    }

    #[test]
    fn what_is_not_an_answer_is_an_error() {
        assert!(listing(b"").is_err());
        assert!(listing(b"[]").is_err());
        assert!(instances("web", b"{}").is_err());
        assert!(instances("web", b"[").is_err());
    }
}
