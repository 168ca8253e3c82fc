//! The answers of all polls joined into one state: takes listings and the health of single services in any order, gives
//! whole catalogs. No I/O and no clock of its own; which polls should run is an answer, not an action.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_model::{Catalog, CatalogInstance, CatalogService};
use tokio::time::Instant;

use crate::blocking::Meta;
use crate::guard::{Held, Reason, Service};
use crate::wire::Listing;

/// A removal of fewer instances than this is never suspicious by its size.
const MASS: usize = 10;

/// Whether the instances of a service are read, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interest {
    /// None.
    #[default]
    None,
    /// The instances themselves.
    Instances,
    /// What speaks for them in the Connect mesh: their proxies, or those that need none.
    Members,
}

/// Says it of a service's name and the tags of all its instances.
pub(crate) type Asked = Box<dyn Fn(&str, &[String]) -> Interest + Send>;

/// Everything known of the registry.
pub(crate) struct Merge {
    interest: Asked,
    hold_max: Duration,
    /// The last list of services; `None` before the first.
    listing: Option<Listing>,
    /// The list could not be read when it was last tried.
    unlisted: bool,
    services: BTreeMap<Arc<str>, Tracked>,
    /// The last published state.
    shown: Option<Arc<Catalog>>,
    /// Something was learnt since.
    changed: bool,
}

#[derive(Default)]
struct Tracked {
    service: Service,
    /// Whether a poll reads its health.
    watched: bool,
    /// Which instances it reads.
    interest: Interest,
    /// The poll has answered, or never will.
    settled: bool,
    /// Its last instance went with the last answer: either the list is about to lose it, or it is being replaced.
    emptied: bool,
    /// It lost its last instance and is still listed: its poll is about to say what came in its place.
    returning: bool,
    /// What to think of the next answer.
    doubt: Option<Reason>,
}

/// What the listing means for the polls of single services.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Polls {
    /// To be started, afresh where they run.
    pub(crate) start: Vec<Arc<str>>,
    /// To be ended.
    pub(crate) stop: Vec<Arc<str>>,
}

impl Merge {
    pub(crate) fn new(interest: Asked, hold_max: Duration) -> Self {
        Self {
            interest,
            hold_max,
            listing: None,
            unlisted: false,
            services: BTreeMap::new(),
            shown: None,
            changed: false,
        }
    }

    /// Takes in a list of services.
    pub(crate) fn listed(&mut self, listing: Listing, meta: Meta, now: Instant) -> Polls {
        let doubt = doubt(meta);
        let mut polls = Polls::default();
        self.list_is_readable(doubt);
        if meta.backwards {
            self.start_over(&mut polls);
        }
        self.drop_unlisted(&listing, doubt, now, &mut polls);
        self.follow_tags(&listing, doubt, now, &mut polls);
        self.listing = Some(listing);
        self.confirm_unwatched(doubt, now);
        for tracked in self.services.values_mut() {
            tracked.returning |= std::mem::take(&mut tracked.emptied);
        }
        self.changed = true;
        polls
    }

    /// The list of services has not changed.
    pub(crate) fn still_listed(&mut self, meta: Meta, now: Instant) {
        let doubt = doubt(meta);
        self.list_is_readable(doubt);
        self.confirm_unwatched(doubt, now);
    }

    /// The list of services could not be read.
    pub(crate) fn unlisted(&mut self) {
        self.unlisted = true;
    }

    /// Takes in the instances of a watched service.
    pub(crate) fn answered(&mut self, name: &str, instances: Vec<CatalogInstance>, meta: Meta, now: Instant) {
        let unlisted = self.unlisted.then_some(Reason::ListUnreadable);
        let Some(tracked) = self.services.get_mut(name).filter(|tracked| tracked.watched) else {
            return;
        };
        let doubt = doubt(meta).or(tracked.doubt.take()).or(unlisted);
        tracked.emptied = instances.is_empty() && tracked.service.has_instances();
        tracked.service.learn(name, instances, doubt, now);
        tracked.settled = true;
        tracked.returning = false;
        if doubt.is_none() {
            tracked.service.confirm(self.hold_max, now);
        }
        self.changed = true;
    }

    /// A watched service has not changed.
    pub(crate) fn still(&mut self, name: &str, meta: Meta, now: Instant) {
        if doubt(meta).is_none()
            && !self.unlisted
            && let Some(tracked) = self.services.get_mut(name)
        {
            self.changed |= tracked.service.confirm(self.hold_max, now);
        }
    }

    /// A watched service will never answer: nothing waits for it.
    pub(crate) fn unreadable(&mut self, name: &str) {
        if let Some(tracked) = self.services.get_mut(name) {
            self.changed |= !tracked.settled;
            tracked.settled = true;
        }
    }

    /// Applies every removal that is held back.
    pub(crate) fn accept(&mut self) {
        for tracked in self.services.values_mut() {
            self.changed |= tracked.service.release(|_| true);
        }
    }

    /// Whether [`Merge::catalog`] has something new to look at.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The next state, if it is complete and differs from the last one.
    pub(crate) fn catalog(&mut self, now: Instant) -> Option<Arc<Catalog>> {
        self.changed = false;
        if !self.is_complete() {
            return None;
        }
        self.hold_mass_removal(now);
        let mut catalog = Catalog::default();
        for (name, tracked) in &mut self.services {
            if let Some(service) = tracked.service.show(name) {
                catalog.services.insert(name.to_string(), service);
            }
        }
        self.services.retain(|_, tracked| tracked.watched || !tracked.service.is_empty());
        if self.shown.as_ref().is_some_and(|shown| same(shown, &catalog)) {
            return None;
        }
        let catalog = Arc::new(catalog);
        self.shown = Some(Arc::clone(&catalog));
        Some(catalog)
    }

    /// Which instances of a service are read.
    pub(crate) fn interest(&self, name: &str) -> Interest {
        self.services.get(name).map_or(Interest::None, |tracked| tracked.interest)
    }

    /// Whether a service is listed and none of its instances is known yet.
    pub(crate) fn waits_for_answers(&self) -> bool {
        self.services.values().any(|tracked| tracked.watched && (!tracked.settled || tracked.returning))
    }

    /// Whether a listing has just shown that a service is returning.
    pub(crate) fn is_any_returning(&self) -> bool {
        self.services.values().any(|tracked| tracked.watched && tracked.returning)
    }

    /// How many names the registry has.
    pub(crate) fn listed_count(&self) -> usize {
        self.listing.as_ref().map_or(0, BTreeMap::len)
    }

    /// How many services have a poll of their own.
    pub(crate) fn watched_count(&self) -> usize {
        self.services.values().filter(|tracked| tracked.watched).count()
    }

    /// Every removal that is held back, by service.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, &Held)> {
        self.services.iter().flat_map(|(name, tracked)| tracked.service.held().map(move |held| (&**name, held)))
    }

    /// Once published, always complete: a new service does not hold up the others.
    fn is_complete(&self) -> bool {
        self.shown.is_some() || (self.listing.is_some() && !self.waits_for_answers())
    }

    /// Settles what was held back only because the list could not be read.
    fn list_is_readable(&mut self, doubt: Option<Reason>) {
        if !std::mem::take(&mut self.unlisted) {
            return;
        }
        for tracked in self.services.values_mut() {
            if let Some(reason) = doubt {
                tracked.service.rename(Reason::ListUnreadable, reason);
            } else {
                self.changed |= tracked.service.release(|held| held.reason == Reason::ListUnreadable);
            }
        }
    }

    /// The registry is another one now: what its services say next is doubtful as well, and what their polls wait for
    /// may never come.
    fn start_over(&mut self, polls: &mut Polls) {
        for (name, tracked) in self.services.iter_mut().filter(|(_, tracked)| tracked.watched) {
            tracked.doubt = Some(Reason::IndexBackwards);
            polls.start.push(Arc::clone(name));
        }
    }

    fn drop_unlisted(&mut self, listing: &Listing, doubt: Option<Reason>, now: Instant, polls: &mut Polls) {
        for (name, tracked) in &mut self.services {
            if tracked.watched && !listing.contains_key(&**name) {
                tracked.unwatch(name, polls);
                if tracked.service.is_known() {
                    tracked.service.learn(name, Vec::new(), doubt, now);
                }
            }
        }
    }

    fn follow_tags(&mut self, listing: &Listing, doubt: Option<Reason>, now: Instant, polls: &mut Polls) {
        for (name, tags) in listing {
            let known = self.listing.as_ref().and_then(|before| before.get(name));
            if known == Some(tags) {
                continue;
            }
            let interest = (self.interest)(name, tags);
            if interest != Interest::None {
                let tracked = self.services.entry(name.as_str().into()).or_default();
                if !tracked.watched || tracked.interest != interest {
                    tracked.watched = true;
                    tracked.interest = interest;
                    polls.start.push(name.as_str().into());
                }
            } else if let Some(tracked) = self.services.get_mut(name.as_str())
                && tracked.watched
            {
                tracked.unwatch(name, polls);
                match doubt {
                    Some(_) => tracked.service.learn(name, Vec::new(), doubt, now),
                    None => tracked.service.forget(),
                }
            }
        }
    }

    /// For a service without a poll the list is the registry's word.
    fn confirm_unwatched(&mut self, doubt: Option<Reason>, now: Instant) {
        if doubt.is_some() {
            return;
        }
        for tracked in self.services.values_mut().filter(|tracked| !tracked.watched) {
            self.changed |= tracked.service.confirm(self.hold_max, now);
        }
    }

    fn hold_mass_removal(&mut self, now: Instant) {
        let all: usize = self.services.values().map(|tracked| tracked.service.shown_count()).sum();
        let missing: usize = self.services.values().map(|tracked| tracked.service.missing().len()).sum();
        if missing < MASS || missing * 2 <= all {
            return;
        }
        for tracked in self.services.values_mut() {
            for instance in tracked.service.missing() {
                tracked.service.hold(instance, Reason::MassRemoval, now);
            }
        }
    }
}

impl Tracked {
    fn unwatch(&mut self, name: &str, polls: &mut Polls) {
        self.watched = false;
        self.settled = false;
        self.doubt = None;
        polls.start.retain(|started| &**started != name);
        polls.stop.push(name.into());
    }
}

/// What speaks against believing a removal in an answer.
fn doubt(meta: Meta) -> Option<Reason> {
    if meta.backwards {
        Some(Reason::IndexBackwards)
    } else if !meta.known_leader {
        Some(Reason::NoLeader)
    } else {
        None
    }
}

/// Services keep their pointers while they do not change.
fn same(a: &Catalog, b: &Catalog) -> bool {
    let pointers =
        |catalog: &Catalog| -> Vec<*const CatalogService> { catalog.services.values().map(Arc::as_ptr).collect() };
    pointers(a) == pointers(b)
}

impl From<bool> for Interest {
    fn from(interested: bool) -> Self {
        if interested { Self::Instances } else { Self::None }
    }
}
