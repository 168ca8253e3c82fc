//! The service-level options of v1: case-sensitive keys from the union of the instances' tags.
//!
//! Where instances disagree, Traefik picks at random. Here the value of most instances counts, ties go to the smallest
//! instance id, and a warning says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::accept::V1Instance;
use crate::report::Report;
use crate::tags::{Tag, words};

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

type Votes<'a> = Vec<(Chosen<'a>, BTreeSet<&'a str>)>;

impl<'a> Options<'a> {
    pub(super) fn union(accepted: &[V1Instance<'a>], prefix: &str, service: &str, report: &mut Report) -> Self {
        let mut votes: BTreeMap<&str, Votes<'a>> = BTreeMap::new();
        for one in accepted {
            for (key, chosen) in first_of_each(&one.tags, prefix) {
                let versions = votes.entry(key).or_default();
                match versions.iter_mut().find(|(known, _)| known.value == chosen.value) {
                    Some((_, ids)) => _ = ids.insert(&one.instance.id),
                    None => versions.push((chosen, BTreeSet::from([one.instance.id.as_str()]))),
                }
            }
        }
        let chosen =
            votes.into_iter().filter_map(|(key, versions)| Some((key, choose(key, versions, service, report)?)));
        Self { chosen: chosen.collect() }
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

/// The first tag of each key.
fn first_of_each<'a>(tags: &[Tag<'a>], prefix: &str) -> BTreeMap<&'a str, Chosen<'a>> {
    let mut found = BTreeMap::new();
    for tag in tags {
        if let Some((key, value)) = tag.option(prefix) {
            found.entry(key).or_insert(Chosen { value, tag: tag.raw });
        }
    }
    found
}

fn choose<'a>(key: &str, mut versions: Votes<'a>, service: &str, report: &mut Report) -> Option<Chosen<'a>> {
    versions.sort_by(|(_, a), (_, b)| b.len().cmp(&a.len()).then_with(|| a.first().cmp(&b.first())));
    let is_shared = ["frontend.", "frontends.", "backend.", "policies."].iter().any(|start| key.starts_with(start));
    // `backend.weight` belongs to each instance although it looks shared.
    if let ([(kept, by), (lost, _), ..], true) = (versions.as_slice(), is_shared && key != "backend.weight") {
        let message = format!(
            "instances say different things: `{}` of {} counts, not `{}`; give all instances the same tag",
            kept.value,
            by.iter().take(3).copied().collect::<Vec<_>>().join(", "),
            lost.value
        );
        report.warning(&format!("service {service}"), lost.tag, message);
    }
    versions.into_iter().next().map(|(chosen, _)| chosen)
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
