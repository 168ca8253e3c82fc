//! The default plugins, compiled to Wasm by `build.rs` and carried in the binary.

/// Names and components.
pub const BUILT_IN: &[(&str, &[u8])] = &[
    ("rate-limit", include_bytes!(concat!(env!("OUT_DIR"), "/rate-limit.wasm"))),
    ("traefik-tags", include_bytes!(concat!(env!("OUT_DIR"), "/traefik-tags.wasm"))),
];
