//! The data-plane plugin: what it subscribes to, what it sees, and what it answers.

mod at_hand;
pub mod clock;
pub mod exchange;
mod fields;
pub mod outbound;
mod outcome;
pub mod random;
pub mod state;
mod subscription;
pub mod system;
mod uses;
mod verdict;

use std::time::Duration;

use serde::de::DeserializeOwned;

pub use crate::bindings::policy::sluice::gateway::policy_types::{
    BodyVerdict, Failure, Field, Header, Hooks, Pause, Reply, Reroute, Subscription, Verdict,
};
pub use fields::Fields;
pub use outcome::{AskedInstance, Outcome};
#[doc(hidden)]
pub use uses::{Ended, Uses};

/// A policy plugin. There is one value of this type for each configured use of the plugin in each worker, so what has to
/// be one truth for all of them belongs into [`state`].
///
/// Hooks that the [subscription](Policy::configure) does not name are never called.
pub trait Policy: Sized + 'static {
    /// What an operator can set. Let unknown keys be errors: `#[serde(deny_unknown_fields)]`.
    type Settings: DeserializeOwned;

    /// Makes a use of the plugin. State is opened here.
    ///
    /// # Errors
    /// A text for the operator; the use is left out.
    fn configure(settings: Self::Settings) -> Result<(Self, Subscription), String>;

    /// The JSON schema of the settings, for operators and tools. With the feature `schema`, which is on by default, it is
    /// `sluice_plugin_sdk::schema::<Self::Settings>()` for settings that derive [`JsonSchema`](schemars::JsonSchema).
    #[must_use]
    fn schema() -> String {
        String::new()
    }

    /// Before the request goes further down the chain, with the request fields of the subscription.
    fn on_request(&mut self, fields: Fields) -> Verdict {
        let _ = fields;
        Verdict::next()
    }

    /// Once the whole body of the request is there, after every `on_request`. Larger ones than the subscription allows
    /// are refused with 413 and not seen here.
    fn on_request_body(&mut self, context: u64, body: Vec<u8>) -> BodyVerdict {
        let _ = (context, body);
        BodyVerdict::Keep
    }

    /// After the answer's head, with the response headers of the subscription. `context` is what
    /// [`on_request`](Policy::on_request) gave, 0 where that is not subscribed.
    fn on_response(&mut self, context: u64, status: u16, headers: Fields) -> Verdict {
        let _ = (context, status, headers);
        Verdict::next()
    }

    /// Once the whole body of the answer is there, after every `on_response`. Larger ones than the subscription allows go
    /// on untouched and are not seen here.
    fn on_response_body(&mut self, context: u64, status: u16, body: Vec<u8>) -> BodyVerdict {
        let _ = (context, status, body);
        BodyVerdict::Keep
    }

    /// After the last byte, exactly once for each `on_request` that let the request pass.
    fn on_complete(&mut self, context: u64, outcome: Outcome) {
        let _ = (context, outcome);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes a [`Policy`](crate::policy::Policy) the plugin's export. On other targets than wasm32 it exports nothing, so
/// that tests link.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        // What the export would use is used, as far as the compiler's warnings go.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::policy::Uses<$policy> = $crate::policy::Uses::new;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the canonical ABI's exports are raw functions")]
        const _: () = {
            use $crate::bindings::policy as bindings;
            use $crate::policy::{BodyVerdict, Ended, Policy, Subscription, Uses, Verdict};

            $crate::__export_version!();

            struct Exported;

            ::std::thread_local! {
                static USES: ::std::cell::RefCell<Uses<$policy>> = const { ::std::cell::RefCell::new(Uses::new()) };
            }

            impl bindings::exports::sluice::gateway::policy_plugin::Guest for Exported {
                fn schema() -> ::std::string::String {
                    <$policy as Policy>::schema()
                }

                fn configure(
                    handle: u32,
                    settings: ::std::string::String,
                ) -> Result<Subscription, ::std::string::String> {
                    USES.with_borrow_mut(|uses| uses.configure(handle, &settings))
                }

                fn release(handle: u32) {
                    USES.with_borrow_mut(|uses| uses.release(handle));
                }

                fn on_request(
                    handle: u32,
                    fields: ::std::vec::Vec<::std::option::Option<::std::string::String>>,
                ) -> Verdict {
                    USES.with_borrow_mut(|uses| uses.on_request(handle, fields.into()))
                }

                fn on_request_body(handle: u32, context: u64, body: ::std::vec::Vec<u8>) -> BodyVerdict {
                    USES.with_borrow_mut(|uses| uses.on_request_body(handle, context, body))
                }

                fn on_response(
                    handle: u32,
                    context: u64,
                    status: u16,
                    headers: ::std::vec::Vec<::std::option::Option<::std::string::String>>,
                ) -> Verdict {
                    USES.with_borrow_mut(|uses| uses.on_response(handle, context, status, headers.into()))
                }

                fn on_response_body(handle: u32, context: u64, status: u16, body: ::std::vec::Vec<u8>) -> BodyVerdict {
                    USES.with_borrow_mut(|uses| uses.on_response_body(handle, context, status, body))
                }

                fn on_complete(handle: u32, context: u64, outcome: bindings::sluice::gateway::policy_types::Outcome) {
                    USES.with_borrow_mut(|uses| uses.on_complete(handle, context, outcome.into()));
                }
            }

            impl bindings::exports::sluice::gateway::lean_hooks::Guest for Exported {
                fn on_request(
                    handle: u32,
                    now_ns: u64,
                    forced: ::std::option::Option<bindings::sluice::gateway::policy_types::Force>,
                    mark: u64,
                ) -> u64 {
                    USES.with_borrow_mut(|uses| uses.on_request_lean(handle, now_ns, forced, mark))
                }

                fn on_complete(
                    handle: u32,
                    now_ns: u64,
                    forced: ::std::option::Option<bindings::sluice::gateway::policy_types::Force>,
                    context: u64,
                    status: u16,
                    failure: ::std::option::Option<$crate::policy::Failure>,
                    duration_ns: u64,
                    upstream_status: ::std::option::Option<u16>,
                    request_bytes: u64,
                    response_bytes: u64,
                    rerouted: bool,
                    grpc_status: ::std::option::Option<u32>,
                ) {
                    let ended = Ended {
                        status,
                        failure,
                        duration_ns,
                        upstream_status,
                        request_bytes,
                        response_bytes,
                        rerouted,
                        grpc_status,
                    };
                    USES.with_borrow_mut(|uses| uses.on_complete_lean(handle, now_ns, forced, context, ended));
                }
            }

    bindings::__export_policy_world!(Exported with_types_in $crate::bindings::policy);
        };
    };
}
