//! The service-level options of v1: case-sensitive keys from the union of the instances' tags.
//!
//! Where instances disagree, Traefik picks at random. Here the value of most instances counts, ties go to the smallest
//! instance id, and a warning says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::accept::{V1Instance, object};
use crate::report::Report;
use crate::tags::words;
use crate::vote::{Ballot, Decision};

/// What the keys of options for all instances begin with.
pub(super) const SHARED: &[&str] = &["frontend.", "frontends.", "backend.", "policies."];

/// The value of an option and a tag it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen<'a> {
    pub(super) value: &'a str,
    pub(super) tag: &'a str,
}

/// All options of a service, by key without the prefix.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    chosen: BTreeMap<&'a str, Chosen<'a>>,
}

impl<'a> Options<'a> {
    pub(super) fn union(accepted: &[&V1Instance<'a>], prefix: &str, service: &str, report: &mut Report) -> Self {
        let mut ballots: BTreeMap<&str, Ballot<Chosen<'a>>> = BTreeMap::new();
        for one in accepted {
            for (key, chosen) in first_of_each(one, prefix, report) {
                let voter = [one.instance.id.as_str()];
                ballots.entry(key).or_default().add(chosen, voter, |a, b| a.value == b.value);
            }
        }
        let mut chosen = BTreeMap::new();
        for (key, ballot) in ballots {
            if let Some(value) = choose(key, ballot, service, report) {
                chosen.insert(key, value);
            }
        }
        Self { chosen }
    }

    /// The value of a key; an empty one counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<Chosen<'a>> {
        self.chosen.get(key).copied().filter(|chosen| !chosen.value.is_empty())
    }

    /// Every key that starts like this, what follows, and its value.
    pub(super) fn starting<'s>(&'s self, start: &'s str) -> impl Iterator<Item = (&'a str, Chosen<'a>)> + 's {
        let all = self.chosen.iter().filter(|(_, chosen)| !chosen.value.is_empty());
        all.filter_map(move |(key, chosen)| Some((key.strip_prefix(start)?, *chosen)))
    }

    /// The names of the segments.
    pub(super) fn segments(&self) -> BTreeSet<&'a str> {
        let names = self.starting("frontends.").filter_map(|(rest, _)| rest.split_once('.'));
        names.map(|(name, _)| name).filter(|name| !name.is_empty()).collect()
    }
}

/// The first tag of each key. Which of several Traefik would take is up to chance.
fn first_of_each<'a>(one: &V1Instance<'a>, prefix: &str, report: &mut Report) -> BTreeMap<&'a str, Chosen<'a>> {
    let mut found: BTreeMap<&str, Chosen<'a>> = BTreeMap::new();
    for tag in &one.tags {
        let Some((key, value)) = tag.option(prefix) else { continue };
        let first = *found.entry(key).or_insert(Chosen { value, tag: tag.raw });
        if first.value != value && is_shared(key) {
            report.warning(
                &object(one.instance),
                tag.raw,
                format!("ignored: `{}` says otherwise before it", first.tag),
            );
        }
    }
    found
}

/// Whether an option is one for all instances. `backend.weight` is each instance's own although it looks shared.
fn is_shared(key: &str) -> bool {
    key != "backend.weight" && SHARED.iter().any(|start| key.starts_with(start))
}

fn choose<'a>(key: &str, ballot: Ballot<Chosen<'a>>, service: &str, report: &mut Report) -> Option<Chosen<'a>> {
    let Decision { winner, loser } = ballot.decide()?;
    if let Some(loser) = loser.filter(|_| is_shared(key)) {
        let message = format!(
            "instances say different things: `{}` of {} counts, not `{}` of {}; give all instances the same tag",
            winner.value.value,
            winner.shown(),
            loser.value.value,
            loser.shown()
        );
        report.warning(&format!("service {service}"), loser.value.tag, message);
    }
    Some(winner.value)
}

/// The options of one frontend: `frontend.…`, or `frontends.<segment>.…`. A segment inherits nothing.
pub(super) struct Scope<'a> {
    pub(super) options: &'a Options<'a>,
    start: String,
    /// What the service name is extended by in the default rule.
    pub(super) segment: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub(super) fn plain(options: &'a Options<'a>) -> Self {
        Self { options, start: "frontend.".to_owned(), segment: None }
    }

    pub(super) fn segment(options: &'a Options<'a>, name: &'a str) -> Self {
        Self { options, start: format!("frontends.{name}."), segment: Some(name) }
    }

    /// The value of an option; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<Chosen<'a>> {
        self.options.get(&format!("{}{name}", self.start))
    }

    /// Every option, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a str, Chosen<'a>)> + '_ {
        self.options.starting(&self.start)
    }

    /// A boolean; what Go does not read as one is reported and counts as absent.
    pub(super) fn flag(&self, name: &str, default: bool, object: &str, report: &mut Report) -> bool {
        let Some(chosen) = self.get(name) else { return default };
        words::boolean(chosen.value).unwrap_or_else(|| {
            report.warning(object, chosen.tag, format!("this is not a boolean, so it is {default}, as by default"));
            default
        })
    }

    /// An integer; anything else is reported and counts as absent.
    pub(super) fn integer(&self, name: &str, object: &str, report: &mut Report) -> Option<i64> {
        let chosen = self.get(name)?;
        let number = words::integer(chosen.value);
        if number.is_none() {
            report.warning(object, chosen.tag, "this is not an integer, so it is ignored");
        }
        number
    }
}
