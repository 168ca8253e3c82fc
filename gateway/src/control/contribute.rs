//! Contributions: what the router plugin makes of each catalog service, asked again only for services that changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;
use sluice_model::link::Declared;
use sluice_model::{Catalog, CatalogService};

use super::last_good::Catalogs;
use super::plugins::{Plugins, Router};
use crate::config::{Config, Entrypoint, TagOptions};

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
    contributions: HashMap<String, Contributed>,
    stale: bool,
    /// Why nothing could be contributed.
    pub(super) error: Option<String>,
}

struct Contributed {
    service: Arc<CatalogService>,
    declared: Arc<Declared>,
}

impl Providers {
    pub(super) fn new(config: &Config) -> Self {
        let providers = (1..).zip(configured(config)).map(|(handle, (name, tags))| {
            let name: Arc<str> = name.into();
            (Arc::clone(&name), Provider::new(name, handle, tags, &config.entrypoints))
        });
        Self { by_name: providers.collect() }
    }

    /// Takes a new catalog; answers how many services differ from the one before.
    pub(super) fn update(&mut self, provider: &str, catalog: Arc<Catalog>) -> usize {
        let Some(provider) = self.by_name.get_mut(provider) else { return 0 };
        let first = provider.catalog.is_none();
        let old = provider.catalog.replace(Arc::clone(&catalog)).unwrap_or_default();
        let changed = catalog.services.iter().filter(|(name, service)| {
            old.services.get(*name).is_none_or(|known| !Arc::ptr_eq(known, service) && known != *service)
        });
        let gone = old.services.keys().filter(|name| !catalog.services.contains_key(*name));
        let count = changed.count() + gone.count();
        provider.stale |= count > 0 || first;
        // An empty first catalog is news as well: the gateway is ready then.
        count + usize::from(first && count == 0)
    }

    /// Tags are read as this configuration says from now on.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        for (name, tags) in configured(config) {
            let Some(provider) = self.by_name.get_mut(name) else { continue };
            let (router, settings) = (tags.router.as_str(), router_settings(name, tags, &config.entrypoints));
            if *provider.router != *router || provider.settings != settings {
                provider.router = router.into();
                provider.settings = settings;
                provider.contributions.clear();
                provider.stale = true;
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
                provider.stale = true;
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
    pub(super) fn contribute(&mut self, plugins: &mut Plugins) {
        for provider in self.by_name.values_mut().filter(|provider| provider.stale) {
            let router = Arc::clone(&provider.router);
            match plugins.router(&router) {
                Ok(router) => provider.contribute(router),
                Err(reason) => provider.fail(reason),
            }
        }
    }

    /// Forgets what a router plugin has contributed, because a new version is in force.
    pub(super) fn recontribute(&mut self, router: &str) {
        for provider in self.by_name.values_mut().filter(|provider| &*provider.router == router) {
            provider.contributions.clear();
            provider.stale = true;
        }
    }

    pub(super) fn declared(&self) -> Vec<Arc<Declared>> {
        let contributions = self.by_name.values().flat_map(|provider| provider.contributions.values());
        contributions.map(|contributed| Arc::clone(&contributed.declared)).collect()
    }

    /// Why providers contribute nothing new.
    pub(super) fn errors(&self) -> BTreeMap<Arc<str>, String> {
        let errors =
            self.by_name.values().filter_map(|provider| Some((Arc::clone(&provider.name), provider.error.clone()?)));
        errors.collect()
    }
}

impl Provider {
    fn new(name: Arc<str>, handle: u32, tags: &TagOptions, entrypoints: &[Entrypoint]) -> Self {
        Self {
            settings: router_settings(&name, tags, entrypoints),
            name,
            handle,
            router: tags.router.as_str().into(),
            catalog: None,
            contributions: HashMap::new(),
            stale: false,
            error: None,
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<CatalogService>> {
        self.catalog.iter().flat_map(|catalog| catalog.services.values())
    }

    fn contribute(&mut self, router: &mut Router) {
        let Some(catalog) = self.catalog.clone() else { return };
        if let Err(reason) = router.configure(self.handle, &self.settings) {
            return self.fail(format!("router plugin `{}` refuses the provider's settings: {reason}", self.router));
        }
        self.error = None;
        self.contributions.retain(|name, _| catalog.services.contains_key(name));
        for (name, service) in &catalog.services {
            let known = self.contributions.get(name);
            if known.is_some_and(|known| Arc::ptr_eq(&known.service, service) || known.service == *service) {
                continue;
            }
            match router.contribute(self.handle, service) {
                Ok(contribution) => {
                    let declared = Arc::new(Declared::new(&self.name, name, contribution));
                    self.contributions.insert(name.clone(), Contributed { service: Arc::clone(service), declared });
                }
                // What it had contributed before stays; so does everything else.
                Err(error) => {
                    tracing::error!(provider = %self.name, service = %name, %error, "router plugin failed on a service");
                    self.error = Some(format!("router plugin `{}` failed on service `{name}`: {error}", self.router));
                }
            }
        }
        self.stale = false;
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
pub(crate) fn router_settings(provider: &str, tags: &TagOptions, entrypoints: &[Entrypoint]) -> String {
    let entrypoints =
        entrypoints.iter().map(|entrypoint| json!({ "name": entrypoint.name, "tls": entrypoint.tls.is_some(), "port": entrypoint.address.port(), "as-default": entrypoint.as_default }));
    let mut settings = tags.to_json();
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("provider".to_owned(), provider.into());
        settings.insert("entrypoints".to_owned(), entrypoints.collect());
    }
    settings.to_string()
}
