//! A number for each key.

use super::wit;
use crate::host;

/// A set of numbers, one for each key, all 0 to begin with.
///
/// ```
/// use sluice_plugin_sdk::policy::state::Cell;
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// let cell = Cell::open("phase").unwrap();
/// assert_eq!(cell.swap_if("web", 0, 7), Ok(()));
/// assert_eq!(cell.swap_if("web", 0, 8), Err(7));
/// assert_eq!(cell.add("web", -9), 0);
/// assert_eq!(cell.load("web"), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(wit::Cell);

impl Cell {
    /// Opens the set of that name.
    ///
    /// # Errors
    /// More sets than the host keeps for a policy.
    pub fn open(name: &str) -> Result<Self, String> {
        host::state::open_cell(name).map(Self)
    }

    /// What the key's number is.
    #[must_use]
    pub fn load(self, key: &str) -> u64 {
        host::state::load(self.0, key)
    }

    /// Stores `new` if the number is `expected`.
    ///
    /// # Errors
    /// What it is instead.
    pub fn swap_if(self, key: &str, expected: u64, new: u64) -> Result<(), u64> {
        host::state::swap_if(self.0, key, expected, new)
    }

    /// Adds, not beyond either end; answers the sum.
    pub fn add(self, key: &str, delta: i64) -> u64 {
        host::state::add(self.0, key, delta)
    }
}
