//! The values a hook is about.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::host;

/// The values a [subscription](crate::policy::Subscription) asked for, in its order; absent ones are `None`. Those of a
/// request come from the host when the first of them is looked at.
///
/// ```
/// use sluice_plugin_sdk::policy::Fields;
///
/// let mut fields = Fields::from(vec![Some("GET".to_owned()), None]);
/// assert_eq!(fields.get(0), Some("GET"));
/// assert_eq!(fields.get(1), None);
/// assert_eq!(fields.take(0).as_deref(), Some("GET"));
/// assert_eq!(fields.get(0), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    values: OnceCell<Vec<Option<String>>>,
    mark: Option<u64>,
}

impl Fields {
    /// Those of the hook at hand.
    pub(super) fn of_hook(mark: u64) -> Self {
        Self { values: OnceCell::new(), mark: Some(mark) }
    }

    /// The value at a place of the subscription; `None` as well where there is no such place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        self.values().get(place)?.as_deref()
    }

    /// The same, without a copy: it is gone afterwards.
    pub fn take(&mut self, place: usize) -> Option<String> {
        self.values();
        self.values.get_mut()?.get_mut(place)?.take()
    }

    /// A number that other values have another of, in this instance of the plugin. A policy that has seen it before need
    /// not look at the values. It is 0, and says nothing, in a policy that subscribes to `on_request` alone.
    ///
    /// ```
    /// use sluice_plugin_sdk::policy::Fields;
    ///
    /// let fields = |value: &str| Fields::from(vec![Some(value.to_owned())]);
    /// assert_eq!(fields("a").mark(), fields("a").mark());
    /// assert_ne!(fields("a").mark(), fields("b").mark());
    /// ```
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            self.values().hash(&mut hasher);
            hasher.finish()
        })
    }

    fn values(&self) -> &[Option<String>] {
        self.values.get_or_init(host::hook::values)
    }
}

impl From<Vec<Option<String>>> for Fields {
    fn from(values: Vec<Option<String>>) -> Self {
        Self { values: OnceCell::from(values), mark: None }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}
