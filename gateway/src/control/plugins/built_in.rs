//! The default plugins, compiled to Wasm by `build.rs` and carried in the binary.

use std::time::Duration;

use sluice_wasm::World;

/// Names and components.
pub const BUILT_IN: &[(&str, &[u8])] = &[
    ("auth", include_bytes!(concat!(env!("OUT_DIR"), "/auth.wasm"))),
    ("canary", include_bytes!(concat!(env!("OUT_DIR"), "/canary.wasm"))),
    ("circuit-breaker", include_bytes!(concat!(env!("OUT_DIR"), "/circuit-breaker.wasm"))),
    ("concurrency", include_bytes!(concat!(env!("OUT_DIR"), "/concurrency.wasm"))),
    ("degrade", include_bytes!(concat!(env!("OUT_DIR"), "/degrade.wasm"))),
    ("forward-auth", include_bytes!(concat!(env!("OUT_DIR"), "/forward-auth.wasm"))),
    ("ip-allow-list", include_bytes!(concat!(env!("OUT_DIR"), "/ip-allow-list.wasm"))),
    ("rate-limit", include_bytes!(concat!(env!("OUT_DIR"), "/rate-limit.wasm"))),
    ("traefik-tags", include_bytes!(concat!(env!("OUT_DIR"), "/traefik-tags.wasm"))),
];

/// The one that is needed at the start.
pub(super) const BUILT_IN_ROUTER: &str = "traefik-tags";

/// What the default plugin of a name is, if there is one.
pub(super) fn world(name: &str) -> Option<World> {
    let is_there = BUILT_IN.iter().any(|(known, _)| *known == name);
    is_there.then_some(if name == BUILT_IN_ROUTER { World::Router } else { World::Policy })
}

/// What a default plugin is trusted with unless the configuration says more.
pub(super) struct Trust {
    pub(super) grants: &'static [&'static str],
    /// For one call, where others have the usual one.
    pub(super) deadline: Option<Duration>,
}

/// Headers that tell who somebody is: requests are counted by them, or must not be answered from what is kept.
const WHO: &[&str] = &["headers:authorization", "headers:cookie", "headers:set-cookie"];

/// The trust in a plugin by its name. A file in its place has it too, except for requests of its own.
pub(super) fn trust(name: &str) -> Trust {
    let grants: &[&str] = match name {
        "auth" => &["headers:authorization"],
        // The server that decides about a request is named where its route is.
        "forward-auth" => &["headers:authorization", "headers:cookie", "headers:set-cookie", "outbound:*"],
        "canary" | "circuit-breaker" | "concurrency" | "degrade" | "rate-limit" => WHO,
        _ => &[],
    };
    // A password of bcrypt's usual strength takes a tenth of a second.
    Trust { grants, deadline: (name == "auth").then_some(Duration::from_secs(2)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_wasm::{Artifact, Engine};

    use super::*;

    #[test]
    fn each_is_what_its_name_promises() {
        let engine = Engine::new(None).unwrap();
        for (name, bytes) in BUILT_IN.iter().filter(|(name, _)| ["canary", BUILT_IN_ROUTER].contains(name)) {
            assert_eq!(Some(Artifact::load(&engine, name, bytes).unwrap().world()), world(name), "{name}");
        }
        assert_eq!(world("mine"), None);
    }

    #[test]
    fn no_plugin_loads_that_is_cut_short() {
        let engine = Engine::new(None).unwrap();
        for (name, whole) in BUILT_IN.iter().filter(|(name, _)| ["rate-limit", BUILT_IN_ROUTER].contains(name)) {
            for (kilobyte, _) in whole.chunks(1024).enumerate() {
                let cut = whole.get(..kilobyte * 1024).unwrap();
                assert!(Artifact::load(&engine, name, cut).is_err(), "{name} after {kilobyte} KiB");
            }
        }
    }
}
