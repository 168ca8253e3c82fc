//! What a provider says: services, their instances, and the tags on them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything one provider knows at one moment. Services that did not change are shared with the snapshot before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By service name, as the provider spells it.
    pub services: BTreeMap<String, Arc<CatalogService>>,
}

/// A service with all its instances, healthy or not, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogService {
    /// The name as the provider spells it.
    pub name: String,
    /// Ordered by [`CatalogInstance::id`], so that equal states compare equal.
    pub instances: Vec<CatalogInstance>,
}

/// One registered instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogInstance {
    /// Unique within the provider and the service.
    pub id: String,
    /// The machine it runs on; empty where the provider does not know machines.
    pub node: String,
    /// An IP address or a host name, never empty.
    pub address: String,
    /// The port it serves on.
    pub port: u16,
    /// As registered, not trimmed.
    pub tags: Vec<String>,
    /// The worst of its checks.
    pub health: Health,
}

/// What the provider's own checks say of an instance. Ordered from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Every check passes, or there is none.
    #[default]
    Passing,
    /// A check warns.
    Warning,
    /// A check fails.
    Critical,
    /// Taken out of service on purpose, on the instance or on its node.
    Maintenance,
}
