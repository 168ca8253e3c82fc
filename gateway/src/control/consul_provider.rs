//! The Consul provider: a watcher on the background runtime, its snapshots as events and its
//! status for the admin API.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use sluice_consul::{ConsulConfig, ConsulError, Interest, Member, Scheme, Status, TlsOptions, TokenSource, Watcher};
use tokio::runtime::Runtime;
use tokio::sync::watch::Receiver;

use crate::config::{ConsulCatalog, TagOptions};

use super::{Event, ProviderStatus, Tracker};

/// The provider's name, as Traefik's users know it.
pub(super) const NAME: &str = "consulcatalog";

/// What this gateway is known by in the mesh, as it changes.
pub type Members = Receiver<Option<Arc<Member>>>;

/// Starts watching. What it gives is what it takes to speak to members of the Connect mesh, if this gateway is one.
///
/// # Errors
/// The configuration cannot be used, such as a certificate that is not there.
pub fn watch(
    config: &ConsulCatalog,
    background: &Runtime,
    events: Sender<Event>,
    tracker: Arc<Tracker>,
) -> Result<Members, ConsulError> {
    let interest = interest(&config.tags);
    let watcher = Watcher::new(client(config), interest)?;
    let mut handle = watcher.handle();
    let members = handle.member();
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
    Ok(members)
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
        consistent: config.require_consistent,
        login: config.login.clone(),
        member: config.tags.connect_aware.then(|| config.service_name.clone()),
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
fn interest(tags: &TagOptions) -> impl Fn(&str, &[String]) -> Interest + Send + Sync + 'static {
    let (prefix, exposed) = (format!("{}.", tags.prefix).to_ascii_lowercase(), tags.exposed_by_default);
    let (aware, by_default) = (tags.connect_aware, tags.connect_by_default);
    let connect = format!("{prefix}consulcatalog.connect=");
    move |_, union: &[String]| {
        let union = || union.iter().map(|tag| tag.trim().to_ascii_lowercase());
        if !exposed && !union().any(|tag| tag.starts_with(&prefix)) {
            return Interest::None;
        }
        let said: Vec<bool> = union().filter_map(|tag| Some(is_true(tag.strip_prefix(&connect)?))).collect();
        let meshed = aware && (said.contains(&true) || (by_default && said.is_empty()));
        if meshed { Interest::Members } else { Interest::Instances }
    }
}

/// As Go reads booleans; in lower case.
fn is_true(word: &str) -> bool {
    matches!(word, "1" | "t" | "true")
}

fn status_of(status: &Status) -> ProviderStatus {
    ProviderStatus {
        index: Some(status.index),
        last_contact: status.last_contact,
        last_error: status.last_error.as_ref().map(|failure| failure.message.clone()),
        services: status.published_services,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_which_instances_are_read() {
        let options = |aware, by_default| TagOptions {
            prefix: "traefik".to_owned(),
            connect_aware: aware,
            connect_by_default: by_default,
            ..TagOptions::default()
        };
        let asked = |options: &TagOptions, tags: &[&str]| {
            interest(options)("web", &tags.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (on, off) = ("Traefik.ConsulCatalog.Connect=true", "traefik.consulcatalog.connect=0");
        for (aware, by_default, tags, wanted) in [
            (true, false, &[on][..], Interest::Members),
            (true, false, &[off, on], Interest::Members),
            (true, false, &[off], Interest::Instances),
            (true, false, &["traefik.enable=true"], Interest::Instances),
            (true, true, &["traefik.enable=true"], Interest::Members),
            (true, true, &[off], Interest::Instances),
            (true, true, &["web"], Interest::None),
            (false, false, &[on], Interest::Instances),
        ] {
            assert_eq!(asked(&options(aware, by_default), tags), wanted, "{aware} {by_default} {tags:?}");
        }
        assert_eq!(asked(&TagOptions { exposed_by_default: true, ..options(false, false) }, &[]), Interest::Instances);
    }
}
