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
