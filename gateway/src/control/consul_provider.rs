//! The Consul provider: a watcher on the background runtime, its snapshots as events and its
//! status for the admin API.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use sluice_consul::{ConsulConfig, ConsulError, Scheme, Status, TlsOptions, TokenSource, Watcher};
use tokio::runtime::Runtime;

use crate::config::{ConsulCatalog, TagOptions};

use super::{Event, ProviderStatus, Tracker};

/// The provider's name, as Traefik's users know it.
pub(super) const NAME: &str = "consulcatalog";

/// Starts watching.
///
/// # Errors
/// The configuration cannot be used, such as a certificate that is not there.
pub fn watch(
    config: &ConsulCatalog,
    background: &Runtime,
    events: Sender<Event>,
    tracker: Arc<Tracker>,
) -> Result<(), ConsulError> {
    let interest = interest(&config.tags);
    let watcher = Watcher::new(client(config), interest)?;
    let mut handle = watcher.handle();
    let name: Arc<str> = NAME.into();
    tracker.follow_consul(handle.clone());
    let provider = Arc::clone(&name);
    background.spawn(watcher.run(move |catalog| {
        // Fails only once the control thread has been stopped.
        events.send(Event::Catalog { provider: Arc::clone(&provider), catalog }).ok();
    }));
    background.spawn(async move {
        loop {
            tracker.provider(&name, status_of(&handle.status()));
            if !handle.changed().await {
                return;
            }
        }
    });
    Ok(())
}

fn client(config: &ConsulCatalog) -> ConsulConfig {
    let tls = config.tls.as_ref();
    ConsulConfig {
        scheme: if tls.is_some() { Scheme::Https } else { Scheme::Http },
        datacenter: config.datacenter.clone(),
        namespace: config.namespace.clone(),
        token: config.token_file.clone().map(TokenSource::File).or_else(token_from_environment),
        tls: tls.map_or_else(TlsOptions::default, |tls| TlsOptions {
            ca: tls.ca.clone(),
            cert: tls.identity.as_ref().map(|(cert, _)| cert.clone()),
            key: tls.identity.as_ref().map(|(_, key)| key.clone()),
            insecure_skip_verify: tls.insecure_skip_verify,
        }),
        stale: config.stale,
        wait: config.wait,
        ..ConsulConfig::new(config.address.clone())
    }
}

/// As Consul's own tools and Traefik have it.
fn token_from_environment() -> Option<TokenSource> {
    let token = std::env::var("CONSUL_HTTP_TOKEN").ok().filter(|token| !token.is_empty());
    token.map(TokenSource::Literal)
}

/// A service none of whose instances can be exposed needs no query of its own. The tags of all its instances are known
/// from the listing; where in doubt it is watched.
fn interest(tags: &TagOptions) -> impl Fn(&str, &[String]) -> bool + Send + Sync + 'static {
    let (prefix, exposed) = (format!("{}.", tags.prefix).to_ascii_lowercase(), tags.exposed_by_default);
    move |_, union: &[String]| exposed || union.iter().any(|tag| tag.trim().to_ascii_lowercase().starts_with(&prefix))
}

fn status_of(status: &Status) -> ProviderStatus {
    ProviderStatus {
        index: Some(status.index),
        last_contact: status.last_contact,
        last_error: status.last_error.as_ref().map(|failure| failure.message.clone()),
        services: status.published_services,
    }
}
