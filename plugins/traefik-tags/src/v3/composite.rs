//! Services put together from others, under the names of Traefik's file provider: `weighted`, `highestrandomweight`,
//! `mirroring`, `failover`.

use sluice_plugin_sdk::router::{
    Failover, Mirror, Mirroring, ServiceKind, Share, Split, StatusRange, WeightedServices,
};

use super::{Instance, services};
use crate::report::Problem;
use crate::tags::tree::Node;
use crate::tags::words;

/// The longest body that is held to be sent a second time, where nothing is said.
const BODY: u64 = 1 << 20;
/// And where "without limit" is asked for.
const MOST_BODY: u64 = 64 << 20;

/// What a service without `loadbalancer` is put together from; nothing where it is no such service.
pub(super) fn kind(own: &Instance<'_>, node: &Node) -> Option<Result<ServiceKind, Problem>> {
    node.children.iter().find_map(|kind| match kind.name.to_ascii_lowercase().as_str() {
        "weighted" => Some(weighted(own, &node.name, kind, Split::Weighted)),
        "highestrandomweight" => Some(weighted(own, &node.name, kind, Split::Hashed)),
        "mirroring" => Some(mirroring(kind)),
        "failover" => Some(failover(kind)),
        _ => None,
    })
}

fn weighted(own: &Instance<'_>, name: &str, node: &Node, split: Split) -> Result<ServiceKind, Problem> {
    let parts = items(node, "services").map(|item| {
        let weight = item.integer("weight").unwrap_or(1);
        let weight = u32::try_from(weight).map_err(|_| {
            Problem::new(item.tag_of("weight"), format!("weight {weight} is not from 0 to {}", u32::MAX))
        })?;
        Ok(Share { service: required(item, "name")?, weight })
    });
    let parts = parts.collect::<Result<Vec<_>, Problem>>()?;
    if parts.is_empty() {
        return Err(Problem::new(&node.tag, "it needs `services[0].name`"));
    }
    Ok(ServiceKind::Weighted(WeightedServices {
        parts,
        split,
        sticky: node.child("sticky").and_then(|sticky| services::cookie(own, name, sticky)),
        health_check: node.child("healthcheck").is_some(),
    }))
}

fn mirroring(node: &Node) -> Result<ServiceKind, Problem> {
    let mirrors = items(node, "mirrors").map(|item| {
        let percent = item.integer("percent").unwrap_or(0);
        match u32::try_from(percent).ok().filter(|percent| *percent <= 100) {
            Some(percent) => Ok(Mirror { service: required(item, "name")?, percent }),
            None => Err(Problem::new(item.tag_of("percent"), format!("{percent} percent are not from 0 to 100"))),
        }
    });
    Ok(ServiceKind::Mirroring(Mirroring {
        service: required(node, "service")?,
        mirrors: mirrors.collect::<Result<_, _>>()?,
        mirror_body: node.flag("mirrorbody").unwrap_or(true),
        most_body: most_body(node, "maxbodysize"),
    }))
}

fn failover(node: &Node) -> Result<ServiceKind, Problem> {
    let errors = node.child("errors");
    let statuses = errors.map(|errors| {
        let ranges = errors.list("status");
        ranges
            .iter()
            .map(|text| range(text).map_err(|message| Problem::new(errors.tag_of("status"), message)))
            .collect()
    });
    Ok(ServiceKind::Failover(Failover {
        service: required(node, "service")?,
        fallback: required(node, "fallback")?,
        statuses: statuses.transpose()?.unwrap_or_default(),
        most_body: errors.map_or(BODY, |errors| most_body(errors, "maxrequestbodybytes")),
    }))
}

/// `502` or `500-599`.
fn range(text: &str) -> Result<StatusRange, String> {
    match words::statuses(text) {
        Some((first, last)) => Ok(StatusRange { first, last }),
        None => Err(format!("`{text}` is neither a status nor a range such as 500-599")),
    }
}

/// The elements of a list in the order of their numbers.
fn items<'n>(node: &'n Node, name: &str) -> impl Iterator<Item = &'n Node> {
    let mut items: Vec<&Node> = node.below(name).iter().collect();
    items.sort_by_key(|item| item.name.trim_matches(['[', ']']).parse().unwrap_or(u64::MAX));
    items.into_iter()
}

fn required(node: &Node, name: &str) -> Result<String, Problem> {
    match node.text(name).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Problem::new(&node.tag, format!("it needs `{name}`"))),
    }
}

/// Traefik's −1, without limit, would let any client fill the memory.
fn most_body(node: &Node, name: &str) -> u64 {
    node.integer(name).map_or(BODY, |bytes| u64::try_from(bytes).map_or(MOST_BODY, |bytes| bytes.min(MOST_BODY)))
}
