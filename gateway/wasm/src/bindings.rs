//! The host side of `wit/`, generated while compiling. Its types go no further than `convert` and the two instances.

/// The world of control-plane plugins.
pub(crate) mod router {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "router",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The world of data-plane plugins. The log is the router's, so that one implementation serves both.
pub(crate) mod policy {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "policy",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "sluice:gateway/log": crate::bindings::router::sluice::gateway::log },
    });
}

/// What policies may export besides.
pub(crate) mod lean {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "lean",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "sluice:gateway/policy-types": crate::bindings::policy::sluice::gateway::policy_types },
    });
}

/// The same world for plugins that wait: exports are called on fibers, and so is what they wait in.
pub(crate) mod waiting {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "policy",
        imports: { "sluice:gateway/outbound.send": async | trappable, default: trappable },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "sluice:gateway/log": crate::bindings::router::sluice::gateway::log,
            "sluice:gateway/policy-types": crate::bindings::policy::sluice::gateway::policy_types,
            "sluice:gateway/exchange": crate::bindings::policy::sluice::gateway::exchange,
            "sluice:gateway/state": crate::bindings::policy::sluice::gateway::state,
            "sluice:gateway/clock": crate::bindings::policy::sluice::gateway::clock,
            "sluice:gateway/random": crate::bindings::policy::sluice::gateway::random,
            "sluice:gateway/system": crate::bindings::policy::sluice::gateway::system,
        },
    });
}
