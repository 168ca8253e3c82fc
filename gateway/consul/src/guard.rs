//! One service as the registry has it and as the gateway shows it: the two differ by removals that are held back.
//!
//! A registry that was wiped, restored or cut off from its leader says "gone" of instances that run. Such removals are
//! put aside, and the instances stay in the snapshots, until the registry has confirmed them for long enough, the same
//! instance or another one at its address is registered, or an operator accepts them. No instance is probed: checks of
//! the gateway's own are not part of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sluice_model::{CatalogInstance, CatalogService};
use tokio::time::Instant;

/// Why a removal is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The index of the registry went backwards: it was wiped, restored or replaced.
    IndexBackwards,
    /// The answer came from a server that knows no leader.
    NoLeader,
    /// The list of services could not be read at that moment, so nothing tells an outage from a removal. Applied as
    /// soon as the list is readable and its index has not gone backwards.
    ListUnreadable,
    /// One snapshot would have removed at least ten instances, and more than half of all.
    MassRemoval,
}

/// A removal that waits.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) instance: CatalogInstance,
    pub(crate) reason: Reason,
    pub(crate) since: Instant,
    pub(crate) since_wall: SystemTime,
}

/// One service.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// The registry's last word; `None` before the first.
    truth: Option<Arc<CatalogService>>,
    held: BTreeMap<String, Held>,
    /// Removals nobody may hold back any more, until the next snapshot has made them real.
    released: BTreeSet<String>,
    /// What the last snapshot had.
    shown: Option<Arc<CatalogService>>,
}

impl Service {
    /// Takes in what the registry says now. With a doubt, what it no longer has is held back.
    pub(crate) fn learn(&mut self, name: &str, instances: Vec<CatalogInstance>, doubt: Option<Reason>, now: Instant) {
        if let (Some(reason), Some(before)) = (doubt, self.truth.take()) {
            for instance in before.instances.iter().filter(|one| !has(&instances, &one.id)) {
                self.hold(instance.clone(), reason, now);
            }
        }
        self.held.retain(|_, held| !replaces(&instances, &held.instance));
        self.truth = Some(Arc::new(CatalogService { name: name.to_owned(), instances }));
    }

    /// Drops the registry's last word on purpose, without any guard: the service is of no interest any more.
    pub(crate) fn forget(&mut self) {
        if let Some(before) = self.truth.take() {
            self.released.extend(before.instances.iter().map(|one| one.id.clone()));
        }
    }

    /// Whether the registry has said anything yet.
    pub(crate) fn is_known(&self) -> bool {
        self.truth.is_some()
    }

    /// Whether the registry had instances of it when it last answered.
    pub(crate) fn has_instances(&self) -> bool {
        self.truth.as_ref().is_some_and(|truth| !truth.instances.is_empty())
    }

    /// Nothing left to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
            && self.shown.is_none()
            && self.truth.as_ref().is_none_or(|truth| truth.instances.is_empty())
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(crate) fn hold(&mut self, instance: CatalogInstance, reason: Reason, now: Instant) {
        let held = Held { instance, reason, since: now, since_wall: SystemTime::now() };
        self.held.entry(held.instance.id.clone()).or_insert(held);
    }

    /// The registry says again that what is held is gone: applies what it has been saying for `hold_max`.
    pub(crate) fn confirm(&mut self, hold_max: Duration, now: Instant) -> bool {
        self.release(|held| now.duration_since(held.since) >= hold_max)
    }

    /// Gives up holding back what `which` picks; says whether that was anything.
    pub(crate) fn release(&mut self, which: impl Fn(&Held) -> bool) -> bool {
        let (before, released) = (self.held.len(), &mut self.released);
        self.held.retain(|id, held| {
            let keep = !which(held);
            if !keep {
                released.insert(id.clone());
            }
            keep
        });
        self.held.len() < before
    }

    /// Puts another reason on what is held for `from`.
    pub(crate) fn rename(&mut self, from: Reason, to: Reason) {
        for held in self.held.values_mut().filter(|held| held.reason == from) {
            held.reason = to;
        }
    }

    /// How many instances the last snapshot had.
    pub(crate) fn shown_count(&self) -> usize {
        self.shown.as_ref().map_or(0, |shown| shown.instances.len())
    }

    /// What the last snapshot had, the next one would not, and nobody has released.
    pub(crate) fn missing(&self) -> Vec<CatalogInstance> {
        let Some(shown) = &self.shown else {
            return Vec::new();
        };
        if self.truth.as_ref().is_some_and(|truth| Arc::ptr_eq(truth, shown)) {
            return Vec::new();
        }
        let truth = self.truth.as_ref().map_or(&[][..], |truth| &truth.instances);
        let accounted = |one: &CatalogInstance| {
            self.held.contains_key(&one.id) || self.released.contains(&one.id) || replaces(truth, one)
        };
        shown.instances.iter().filter(|one| !accounted(one)).cloned().collect()
    }

    /// What the next snapshot has. The same pointer as before where nothing changed, `None` where no instance is left.
    pub(crate) fn show(&mut self, name: &str) -> Option<Arc<CatalogService>> {
        self.released.clear();
        let next = self.merged(name);
        if self.shown != next {
            self.shown = next;
        }
        // One allocation for both, so that the next comparison ends at the pointer.
        if self.held.is_empty() && self.shown.is_some() {
            self.truth.clone_from(&self.shown);
        }
        self.shown.clone()
    }

    fn merged(&self, name: &str) -> Option<Arc<CatalogService>> {
        if self.held.is_empty() {
            return self.truth.clone().filter(|truth| !truth.instances.is_empty());
        }
        let mut instances = self.truth.as_ref().map_or_else(Vec::new, |truth| truth.instances.clone());
        instances.extend(self.held.values().map(|held| held.instance.clone()));
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        Some(Arc::new(CatalogService { name: name.to_owned(), instances }))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IndexBackwards => "the registry's index went backwards",
            Self::NoLeader => "the registry has no leader",
            Self::ListUnreadable => "the list of services cannot be read",
            Self::MassRemoval => "more than half of all instances would go at once",
        })
    }
}

/// Instances are ordered by id.
fn has(instances: &[CatalogInstance], id: &str) -> bool {
    instances.binary_search_by(|one| one.id.as_str().cmp(id)).is_ok()
}

/// Whether the instance is registered again, or another one took over its address.
fn replaces(instances: &[CatalogInstance], gone: &CatalogInstance) -> bool {
    has(instances, &gone.id) || instances.iter().any(|one| one.port == gone.port && one.address == gone.address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::tests::fake::instance;

    const DOUBT: Option<Reason> = Some(Reason::IndexBackwards);

    fn service(ports: &[u16]) -> Service {
        let mut service = Service::default();
        learn(&mut service, ports, None);
        service.show("web");
        service
    }

    fn learn(service: &mut Service, ports: &[u16], doubt: Option<Reason>) {
        let instances = ports.iter().map(|port| instance(*port)).collect();
        service.learn("web", instances, doubt, Instant::now());
    }

    fn shown(service: &mut Service) -> Vec<u16> {
        let shown = service.show("web");
        shown.map_or_else(Vec::new, |shown| shown.instances.iter().map(|one| one.port).collect())
    }

    #[test]
    fn without_a_doubt_removals_are_real() {
        let mut service = service(&[1, 2, 3]);
        learn(&mut service, &[2], None);
        assert_eq!(shown(&mut service), [2]);
        learn(&mut service, &[], None);
        assert_eq!(service.show("web"), None);
        assert!(service.is_empty());
    }

    #[test]
    fn with_a_doubt_they_wait_and_later_ones_do_not() {
        let mut service = service(&[1, 2, 3]);
        learn(&mut service, &[1, 2], DOUBT);
        assert_eq!(shown(&mut service), [1, 2, 3]);
        learn(&mut service, &[1], None);
        assert_eq!(shown(&mut service), [1, 3]);
    }

    #[test]
    fn a_registration_replaces_what_was_held() {
        let mut service = service(&[1, 2]);
        learn(&mut service, &[], DOUBT);
        learn(&mut service, &[1], None);
        assert_eq!(service.held().count(), 1);
        let mut renamed = instance(2);
        renamed.id = "zzz".into();
        service.learn("web", vec![instance(1), renamed], None, Instant::now());
        assert_eq!(service.held().count(), 0);
        assert_eq!(shown(&mut service), [1, 2]);
    }

    #[test]
    fn a_hold_ends_when_it_is_confirmed_late_enough() {
        let mut service = service(&[1]);
        learn(&mut service, &[], DOUBT);
        let (hold_max, now) = (Duration::from_secs(300), Instant::now());
        service.confirm(hold_max, now + Duration::from_secs(299));
        assert_eq!(shown(&mut service), [1]);
        service.confirm(hold_max, now + Duration::from_secs(301));
        assert_eq!(service.missing(), []);
        assert_eq!(service.show("web"), None);
    }

    #[test]
    fn the_same_content_keeps_its_pointer() {
        let mut service = service(&[1, 2]);
        let before = service.show("web").unwrap();
        learn(&mut service, &[1, 2], None);
        assert!(Arc::ptr_eq(&before, &service.show("web").unwrap()));
        learn(&mut service, &[1], DOUBT);
        assert!(Arc::ptr_eq(&before, &service.show("web").unwrap()));
        learn(&mut service, &[1, 2], None);
        assert!(Arc::ptr_eq(&before, &service.show("web").unwrap()));
    }

    #[test]
    fn missing_is_what_would_go_unannounced() {
        let mut service = service(&[1, 2, 3, 4]);
        learn(&mut service, &[1, 2, 3], DOUBT);
        learn(&mut service, &[1, 2], None);
        let missing: Vec<_> = service.missing().iter().map(|one| one.port).collect();
        assert_eq!(missing, [3]);
        service.forget();
        assert_eq!(service.missing().iter().map(|one| one.port).collect::<Vec<_>>(), [3]);
        assert_eq!(shown(&mut service), [4]);
    }
}
