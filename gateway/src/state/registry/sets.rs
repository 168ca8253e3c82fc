//! What a policy has open, by kind and name.

use std::sync::Arc;

use sluice_wasm::{GateSpec, WindowSpec};

use super::super::buckets::{BucketSpec, MAX_KEYS};
use super::super::cells::Cells;
use super::super::clock::Clock;
use super::super::gates::Gates;
use super::super::limits::BucketSet;
use super::super::windows::Windows;
use super::OpenError;

/// How many names of each kind one policy may ever use: each holds memory, and versions come and go.
pub(super) const MAX_SETS: usize = 16;

/// Values by key, opened under a name.
pub(super) trait Set: Sized {
    type Spec: Clone + PartialEq;
    /// As errors call it.
    const KIND: &'static str;

    fn make(spec: &Self::Spec) -> Self;
    /// Other limits for what is there.
    fn respec(&self, spec: &Self::Spec, clock: &dyn Clock);
    fn set_capacity(&self, max_keys: usize);
    fn sweep(&self, clock: &dyn Clock);
}

/// A set and its name.
pub(super) struct Named<T> {
    pub(super) name: Arc<str>,
    pub(super) set: Arc<T>,
}

/// Everything a policy has open. It only ever grows, so that a handle means the same for as long as the state lives.
#[derive(Clone, Default)]
pub(super) struct Sets {
    pub(super) buckets: Vec<Named<BucketSet>>,
    pub(super) windows: Vec<Named<Windows>>,
    pub(super) gates: Vec<Named<Gates>>,
    pub(super) cells: Vec<Named<Cells>>,
}

/// What a policy opens while it is prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened {
    pub(super) buckets: Vec<(String, BucketSpec)>,
    pub(super) windows: Vec<(String, WindowSpec)>,
    pub(super) gates: Vec<(String, GateSpec)>,
    pub(super) cells: Vec<(String, ())>,
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), set: Arc::clone(&self.set) }
    }
}

impl Sets {
    /// These with everything in them that was opened.
    pub(super) fn with(&self, opened: &Opened) -> Result<Self, OpenError> {
        let sets = Self {
            buckets: grown(&self.buckets, &opened.buckets)?,
            windows: grown(&self.windows, &opened.windows)?,
            gates: grown(&self.gates, &opened.gates)?,
            cells: grown(&self.cells, &opened.cells)?,
        };
        Ok(sets)
    }

    /// Brings limits into force, and divides the keys a policy may have.
    pub(super) fn respec(&self, opened: &Opened, clock: &dyn Clock) {
        let count = self.buckets.len() + self.windows.len() + self.gates.len() + self.cells.len();
        let keys = MAX_KEYS / count.max(1);
        respec(&self.buckets, &opened.buckets, keys, clock);
        respec(&self.windows, &opened.windows, keys, clock);
        respec(&self.gates, &opened.gates, keys, clock);
        respec(&self.cells, &opened.cells, keys, clock);
    }

    pub(super) fn sweep(&self, clock: &dyn Clock) {
        self.buckets.iter().for_each(|named| Set::sweep(&*named.set, clock));
        self.windows.iter().for_each(|named| Set::sweep(&*named.set, clock));
        self.gates.iter().for_each(|named| Set::sweep(&*named.set, clock));
        self.cells.iter().for_each(|named| Set::sweep(&*named.set, clock));
    }
}

/// The handle of a name.
pub(super) fn handle<T: Set>(sets: &[Named<T>], name: &str) -> Result<u32, OpenError> {
    let place = sets.iter().position(|named| &*named.name == name);
    let handle = place.and_then(|place| u32::try_from(place).ok());
    handle.ok_or_else(|| OpenError::Unknown(T::KIND, name.to_owned()))
}

/// Notes a name and its spec, and gives a handle that is good for this recording alone.
pub(super) fn note<T: Set>(opened: &mut Vec<(String, T::Spec)>, name: &str, spec: T::Spec) -> Result<u32, OpenError> {
    let place = match opened.iter().position(|(other, _)| other == name) {
        Some(place) if opened.get(place).is_some_and(|(_, other)| *other != spec) => {
            return Err(OpenError::Twice(T::KIND, name.to_owned()));
        }
        Some(place) => place,
        None if opened.len() >= MAX_SETS => return Err(OpenError::TooMany(T::KIND, name.to_owned())),
        None => {
            opened.push((name.to_owned(), spec));
            opened.len() - 1
        }
    };
    u32::try_from(place).map_err(|_| OpenError::TooMany(T::KIND, name.to_owned()))
}

fn grown<T: Set>(sets: &[Named<T>], opened: &[(String, T::Spec)]) -> Result<Vec<Named<T>>, OpenError> {
    let mut sets = sets.to_vec();
    for (name, spec) in opened {
        if sets.iter().any(|named| *named.name == **name) {
            continue;
        }
        if sets.len() >= MAX_SETS {
            return Err(OpenError::TooMany(T::KIND, name.clone()));
        }
        sets.push(Named { name: name.as_str().into(), set: Arc::new(T::make(spec)) });
    }
    Ok(sets)
}

fn respec<T: Set>(sets: &[Named<T>], opened: &[(String, T::Spec)], keys: usize, clock: &dyn Clock) {
    for named in sets {
        if let Some((_, spec)) = opened.iter().find(|(name, _)| **name == *named.name) {
            named.set.respec(spec, clock);
        }
        named.set.set_capacity(keys);
    }
}

impl Set for BucketSet {
    type Spec = BucketSpec;
    const KIND: &'static str = "bucket";

    fn make(spec: &BucketSpec) -> Self {
        Self::new(*spec)
    }

    fn respec(&self, spec: &BucketSpec, clock: &dyn Clock) {
        self.respec(*spec, clock);
    }

    fn set_capacity(&self, max_keys: usize) {
        self.set_capacity(max_keys);
    }

    fn sweep(&self, clock: &dyn Clock) {
        self.sweep(clock);
    }
}

impl Set for Windows {
    type Spec = WindowSpec;
    const KIND: &'static str = "window";

    fn make(spec: &WindowSpec) -> Self {
        Self::new(*spec)
    }

    fn respec(&self, spec: &WindowSpec, _: &dyn Clock) {
        self.respec(*spec);
    }

    fn set_capacity(&self, max_keys: usize) {
        self.set_capacity(max_keys);
    }

    fn sweep(&self, clock: &dyn Clock) {
        self.sweep(clock.now_ns());
    }
}

impl Set for Gates {
    type Spec = GateSpec;
    const KIND: &'static str = "gate";

    fn make(spec: &GateSpec) -> Self {
        Self::new(spec.clone())
    }

    fn respec(&self, spec: &GateSpec, _: &dyn Clock) {
        self.respec(spec);
    }

    fn set_capacity(&self, max_keys: usize) {
        self.set_capacity(max_keys);
    }

    fn sweep(&self, _: &dyn Clock) {
        self.sweep();
    }
}

impl Set for Cells {
    type Spec = ();
    const KIND: &'static str = "cell";

    fn make((): &()) -> Self {
        Self::new()
    }

    fn respec(&self, (): &(), _: &dyn Clock) {}

    fn set_capacity(&self, max_keys: usize) {
        self.set_capacity(max_keys);
    }

    fn sweep(&self, _: &dyn Clock) {
        self.sweep();
    }
}
