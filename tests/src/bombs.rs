//! Policies written by hand that ask for what no language's compiler lets its users ask for.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::process::repository;

/// What is asked for without end, on requests with the header `x-boom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bomb {
    /// Elements of a table.
    Table,
    /// Handles of the host's.
    Handles,
}

impl Bomb {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Table, Self::Handles];

    /// For hosts and policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table-bomb",
            Self::Handles => "handle-bomb",
        }
    }

    const fn boom(self) -> &'static str {
        match self {
            Self::Table => "(loop (drop (table.grow $table (ref.null func) (i32.const 50000))) (br 0))",
            Self::Handles => "(loop (drop (call $after (i64.const 0))) (br 0))",
        }
    }

    /// The component.
    ///
    /// # Panics
    /// When the contract in `wit/` has changed so much that this is no policy any more.
    #[must_use]
    pub fn component(self) -> Vec<u8> {
        let mut module = wat::parse_str(module(self.boom())).expect("a module");
        let mut resolve = Resolve::default();
        let (contract, _) = resolve.push_path(repository().join("wit")).expect("the contract");
        let package = resolve.push_str("bomb.wit", WORLD).expect("the bomb's world");
        let world = resolve.select_world(&[package, contract], Some("test:bombs/bomb")).expect("a world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a described module");
        ComponentEncoder::default().module(&module).expect("a policy").encode().expect("a component")
    }
}

const WORLD: &str = "
package test:bombs;

world bomb {
    include sluice:gateway/policy@0.1.0;
    import wasi:clocks/monotonic-clock@0.2.6;
}

package wasi:io@0.2.6 {
    interface poll { resource pollable; }
}

package wasi:clocks@0.2.6 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
}
";

/// A bare policy with these imports of its own, that does this on requests with the header.
fn module(boom: &str) -> String {
    let imports = r#"
        (import "sluice:gateway/exchange@0.1.0" "request-field" (func $field (param i32 i32 i32 i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $after (param i64) (result i32)))
        (table $table 1 funcref)
        (data (i32.const 3072) "x-boom")"#;
    let on_request = format!(
        "(global.set $top (i32.const 8192))
        (call $field (i32.const 13) (i32.const 3072) (i32.const 6) (i32.const 4096))
        (if (i32.load8_u (i32.const 4096)) (then {boom}))
        (i32.const 2048)"
    );
    let bare = include_str!("../guests/bare-policy.wat");
    bare.replace("{imports}", imports).replace("{configure}", "").replace("{on-request}", &on_request)
}
