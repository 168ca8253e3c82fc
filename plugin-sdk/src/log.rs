//! Lines for the gateway's log. At most 100 a second of 8 KiB each are kept for a plugin.

pub use crate::bindings::router::sluice::gateway::log::Level;
use crate::host;

/// Writes one line.
///
/// ```
/// use sluice_plugin_sdk::log::{self, Level};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// log::write(Level::Warn, "the key is empty");
/// assert_eq!(host.logged(), [(Level::Warn, "the key is empty".to_owned())]);
/// ```
pub fn write(level: Level, message: &str) {
    host::log(level, message);
}

/// Something failed.
///
/// ```
/// use sluice_plugin_sdk::log::{self, Level};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// log::error("the file changed");
/// assert_eq!(host.logged(), [(Level::Error, "the file changed".to_owned())]);
/// ```
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Something may become a problem.
///
/// ```
/// use sluice_plugin_sdk::log::{self, Level};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// log::warn("the file changed");
/// assert_eq!(host.logged(), [(Level::Warn, "the file changed".to_owned())]);
/// ```
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something an operator may want to know.
///
/// ```
/// use sluice_plugin_sdk::log::{self, Level};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// log::info("the file changed");
/// assert_eq!(host.logged(), [(Level::Info, "the file changed".to_owned())]);
/// ```
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something only the plugin's author wants to know.
///
/// ```
/// use sluice_plugin_sdk::log::{self, Level};
///
/// let host = sluice_plugin_sdk::mock::Host::new();
/// log::debug("the file changed");
/// assert_eq!(host.logged(), [(Level::Debug, "the file changed".to_owned())]);
/// ```
pub fn debug(message: &str) {
    write(Level::Debug, message);
}
