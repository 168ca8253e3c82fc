//! What a plugin author depends on.
//!
//! A plugin is a WebAssembly component: a crate with `crate-type = ["cdylib"]`, built by
//! `cargo build --release --target wasm32-wasip2`. It implements one of two traits and names the type in a macro:
//!
//! * [`policy::Policy`] with [`export_policy!`]: decides about exchanges, on the data plane;
//! * [`router::Router`] with [`export_router!`]: turns the services a provider reports into routes, on the control plane.
//!
//! The macros export nothing on other targets and the host's functions are served by [`mock`] there, so a plugin's
//! tests run natively, with a clock of their own.
//!
//! ```
//! use serde::Deserialize;
//! use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict};
//!
//! /// Lets only clients in that know the password.
//! struct Door {
//!     password: String,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     password: String,
//! }
//!
//! impl Policy for Door {
//!     type Settings = Settings;
//!
//!     fn configure(settings: Settings) -> Result<(Self, Subscription), String> {
//!         let wanted = Subscription::new().on_request([Field::Header("x-password".into())]);
//!         Ok((Self { password: settings.password }, wanted))
//!     }
//!
//!     fn on_request(&mut self, fields: Fields) -> Verdict {
//!         match fields.get(0) {
//!             Some(given) if given == self.password => Verdict::next(),
//!             _ => Verdict::Respond(Reply::text(403, "no entry")),
//!         }
//!     }
//! }
//!
//! sluice_plugin_sdk::export_policy!(Door);
//!
//! // In a test:
//! let host = sluice_plugin_sdk::mock::Host::new();
//! let mut door = host.configure::<Door>(r#"{"password": "sesame"}"#).unwrap();
//! assert_eq!(door.request(), Verdict::Respond(Reply::text(403, "no entry")));
//! host.set_request(Field::Header("x-password".into()), "sesame");
//! assert_eq!(door.request(), Verdict::next());
//! ```

#[doc(hidden)]
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::restriction, reason = "generated")]
pub mod bindings;
#[doc(hidden)]
pub mod export;
mod host;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
pub mod policy;
pub mod router;
#[cfg(feature = "schema")]
mod schema;
mod settings;

#[cfg(feature = "schema")]
pub use schema::schema;
#[cfg(feature = "schema")]
pub use schemars;
pub use settings::parse as parse_settings;
