//! The values pushed to a hook.

/// The values a [subscription](crate::policy::Subscription) asked for, in its order; absent ones are `None`.
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Option<String>>);

impl Fields {
    /// The value at a place of the subscription; `None` as well where there is no such place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        self.0.get(place)?.as_deref()
    }

    /// The same, without a copy: it is gone afterwards.
    pub fn take(&mut self, place: usize) -> Option<String> {
        self.0.get_mut(place)?.take()
    }
}

impl From<Vec<Option<String>>> for Fields {
    fn from(values: Vec<Option<String>>) -> Self {
        Self(values)
    }
}
