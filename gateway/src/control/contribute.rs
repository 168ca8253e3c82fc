//! Contributions: what the router plugin makes of each catalog service, asked again only for services that changed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use sluice_model::link::{Declared, Linker};
use sluice_model::{Catalog, CatalogService};

use super::last_good::Catalogs;
use super::plugins::{Plugins, Router};
use crate::config::{Config, TagOptions, TransportConfig};

/// Every provider with its last catalog and the contributions made of it.
pub(super) struct Providers {
    by_name: BTreeMap<Arc<str>, Provider>,
}

pub(super) struct Provider {
    name: Arc<str>,
    /// Tells the router plugin which provider a call is about.
    pub(super) handle: u32,
    /// The router plugin's name.
    pub(super) router: Arc<str>,
    /// JSON for the router plugin.
    pub(super) settings: String,
    catalog: Option<Arc<Catalog>>,
    /// What was made of each service that contributes; nothing where it has to be asked for again.
    contributed: HashMap<String, Option<Arc<CatalogService>>>,
    pending: Pending,
    stale: bool,
    /// Why nothing could be contributed.
    pub(super) error: Option<String>,
}

/// Services to ask the router plugin for.
enum Pending {
    Some(BTreeSet<String>),
    Every,
}

impl Providers {
    pub(super) fn new(config: &Config) -> Self {
        let providers = (1..).zip(configured(config)).map(|(handle, (name, tags))| {
            let name: Arc<str> = name.into();
            (Arc::clone(&name), Provider::new(name, handle, tags, config))
        });
        Self { by_name: providers.collect() }
    }

    /// Takes a new catalog; answers how many services differ from the one before.
    pub(super) fn update(&mut self, provider: &str, catalog: Arc<Catalog>) -> usize {
        let Some(provider) = self.by_name.get_mut(provider) else { return 0 };
        let first = provider.catalog.is_none();
        let old = provider.catalog.replace(Arc::clone(&catalog)).unwrap_or_default();
        let changed = differing(&old, &catalog);
        let count = changed.len();
        provider.stale |= count > 0 || first;
        if let Pending::Some(pending) = &mut provider.pending {
            pending.extend(changed);
        }
        // An empty first catalog is news as well: the gateway is ready then.
        count + usize::from(first && count == 0)
    }

    /// Tags are read as this configuration says from now on.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        for (name, tags) in configured(config) {
            let Some(provider) = self.by_name.get_mut(name) else { continue };
            let (router, settings) = (tags.router.as_str(), router_settings(name, tags, config));
            if *provider.router != *router || provider.settings != settings {
                provider.router = router.into();
                provider.settings = settings;
                provider.ask_again();
            }
        }
    }

    /// Catalogs from before the start, for providers that cannot be asked yet. A file can always be asked.
    pub(super) fn restore(&mut self, catalogs: Catalogs) {
        for (name, catalog) in catalogs {
            let provider = self.by_name.get_mut(name.as_str()).filter(|_| name != super::file_provider::NAME);
            if let Some(provider) = provider {
                tracing::info!(provider = name, services = catalog.services.len(), "last good catalog restored");
                provider.catalog = Some(catalog);
                provider.ask_again();
            }
        }
    }

    /// Every catalog there is, to be kept for the next start.
    pub(super) fn catalogs(&self) -> Catalogs {
        let known =
            self.by_name.iter().filter_map(|(name, provider)| Some((name.to_string(), provider.catalog.clone()?)));
        known.collect()
    }

    pub(super) fn any_catalog(&self) -> bool {
        self.by_name.is_empty() || self.by_name.values().any(|provider| provider.catalog.is_some())
    }

    pub(super) fn all_catalogs(&self) -> bool {
        self.by_name.values().all(|provider| provider.catalog.is_some())
    }

    pub(super) fn of_router<'a>(&'a self, router: &'a str) -> impl Iterator<Item = &'a Provider> {
        self.by_name.values().filter(move |provider| &*provider.router == router)
    }

    /// Has the router plugins contribute whatever changed.
    pub(super) fn contribute(&mut self, plugins: &mut Plugins, linker: &mut Linker) {
        for provider in self.by_name.values_mut().filter(|provider| provider.stale) {
            let router = Arc::clone(&provider.router);
            match plugins.router(&router) {
                Ok(router) => provider.contribute(router, linker),
                Err(reason) => provider.fail(reason),
            }
        }
    }

    /// Forgets what a router plugin has contributed, because a new version is in force.
    pub(super) fn recontribute(&mut self, router: &str) {
        for provider in self.by_name.values_mut().filter(|provider| &*provider.router == router) {
            provider.ask_again();
        }
    }

    /// Why providers contribute nothing new.
    pub(super) fn errors(&self) -> BTreeMap<Arc<str>, String> {
        let errors =
            self.by_name.values().filter_map(|provider| Some((Arc::clone(&provider.name), provider.error.clone()?)));
        errors.collect()
    }
}

/// Names of services that came, changed or went.
fn differing(old: &Catalog, new: &Catalog) -> Vec<String> {
    let (mut before, mut now) = (old.services.iter().peekable(), new.services.iter().peekable());
    let mut differing = Vec::new();
    loop {
        // Both are in order of their names: whoever is behind has a name the other does not.
        let order = match (before.peek(), now.peek()) {
            (None, None) => return differing,
            (Some((was, _)), Some((is, _))) => was.cmp(is),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        let was = if order.is_le() { before.next() } else { None };
        let is = if order.is_ge() { now.next() } else { None };
        match (was, is) {
            (Some((_, was)), Some((_, is))) if Arc::ptr_eq(was, is) || was == is => {}
            (was, is) => differing.extend(was.or(is).map(|(name, _)| name.clone())),
        }
    }
}

impl Provider {
    fn new(name: Arc<str>, handle: u32, tags: &TagOptions, config: &Config) -> Self {
        Self {
            settings: router_settings(&name, tags, config),
            name,
            handle,
            router: tags.router.as_str().into(),
            catalog: None,
            contributed: HashMap::new(),
            pending: Pending::Every,
            stale: false,
            error: None,
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<CatalogService>> {
        self.catalog.iter().flat_map(|catalog| catalog.services.values())
    }

    /// Forgets what the router plugin was asked for. What it contributed stays until it contributes anew.
    fn ask_again(&mut self) {
        self.contributed.values_mut().for_each(|service| *service = None);
        self.pending = Pending::Every;
        self.stale = true;
    }

    fn contribute(&mut self, router: &mut Router, linker: &mut Linker) {
        let Some(catalog) = self.catalog.clone() else { return };
        if let Err(reason) = router.configure(self.handle, &self.settings) {
            return self.fail(format!("router plugin `{}` refuses the provider's settings: {reason}", self.router));
        }
        self.error = None;
        let names = match std::mem::replace(&mut self.pending, Pending::Some(BTreeSet::new())) {
            Pending::Some(names) => names,
            Pending::Every => catalog.services.keys().chain(self.contributed.keys()).cloned().collect(),
        };
        let mut failed = BTreeSet::new();
        for name in names {
            match catalog.services.get(&name) {
                None if self.contributed.remove(&name).is_some() => linker.retract(&self.name, &name.as_str().into()),
                None => {}
                Some(service) => {
                    if let Err(error) = self.contribute_one(&name, service, router, linker) {
                        self.error = Some(error);
                        failed.insert(name);
                    }
                }
            }
        }
        // They are tried again when something else changes.
        self.pending = Pending::Some(failed);
        self.stale = false;
    }

    /// What a service had contributed before stays where the plugin fails on it; so does everything else.
    fn contribute_one(
        &mut self,
        name: &str,
        service: &Arc<CatalogService>,
        router: &mut Router,
        linker: &mut Linker,
    ) -> Result<(), String> {
        let known = self.contributed.get(name).and_then(Option::as_ref);
        if known.is_some_and(|known| Arc::ptr_eq(known, service) || known == service) {
            return Ok(());
        }
        let contribution = router.contribute(self.handle, service).map_err(|error| {
            tracing::error!(provider = %self.name, service = %name, %error, "router plugin failed on a service");
            format!("router plugin `{}` failed on service `{name}`: {error}", self.router)
        })?;
        linker.declare(Arc::new(Declared::new(&self.name, name, contribution)));
        self.contributed.insert(name.to_owned(), Some(Arc::clone(service)));
        Ok(())
    }

    fn fail(&mut self, reason: String) {
        if self.error.as_ref() != Some(&reason) {
            tracing::error!(provider = %self.name, %reason, "provider contributes nothing new");
        }
        self.error = Some(reason);
    }
}

/// The names of the configured providers.
#[must_use]
pub fn provider_names(config: &Config) -> Vec<&'static str> {
    configured(config).map(|(name, _)| name).collect()
}

fn configured(config: &Config) -> impl Iterator<Item = (&'static str, &TagOptions)> {
    let consul = config.providers.consul_catalog.as_ref().map(|consul| (super::consul_provider::NAME, &consul.tags));
    let file = config.providers.file.as_ref().map(|file| (super::file_provider::NAME, &file.tags));
    consul.into_iter().chain(file)
}

/// What a router plugin is told about a provider.
pub(crate) fn router_settings(provider: &str, tags: &TagOptions, config: &Config) -> String {
    let entrypoints =
        config.entrypoints.iter().map(|entrypoint| json!({ "name": entrypoint.name, "tls": entrypoint.tls.is_some(), "port": entrypoint.address.port(), "as-default": entrypoint.as_default }));
    let mut settings = tags.to_json();
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("provider".to_owned(), provider.into());
        settings.insert("entrypoints".to_owned(), entrypoints.collect());
        if !config.transports.is_empty() {
            settings.insert("transports".to_owned(), config.transports.iter().map(transport).collect());
        }
    }
    settings.to_string()
}

/// What tags can choose a transport by.
fn transport(transport: &TransportConfig) -> serde_json::Value {
    let (cert, key) = transport.identity.as_ref().map_or((None, None), |(cert, key)| (Some(cert), Some(key)));
    let path = |path: Option<&PathBuf>| path.map_or_else(String::new, |path| path.display().to_string());
    json!({
        "name": transport.name,
        "ca": path(transport.ca.as_ref()),
        "cert": path(cert),
        "key": path(key),
        "insecure-skip-verify": transport.insecure_skip_verify,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_came_changed_or_went_differ() {
        let service = |name: &str| Arc::new(CatalogService { name: name.to_owned(), instances: Vec::new() });
        let catalog = |names: &[&str]| Catalog {
            services: names.iter().map(|name| ((*name).to_owned(), service(name))).collect(),
        };
        let mut changed = catalog(&["b", "c", "d"]);
        changed.services.insert("c".to_owned(), service("another"));
        assert_eq!(differing(&catalog(&["a", "b", "c"]), &changed), ["a", "c", "d"]);
        assert_eq!(differing(&catalog(&[]), &catalog(&["a"])), ["a"]);
        assert_eq!(differing(&catalog(&["a", "b"]), &catalog(&["a"])), ["b"]);
        assert!(differing(&changed, &changed.clone()).is_empty());
    }
}
