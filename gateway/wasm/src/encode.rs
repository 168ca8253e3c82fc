//! From the bytes of a file to the bytes of a component.
//!
//! Guests built for `wasm32-wasip2` are components already. Those built for `wasm32-unknown-unknown` are core modules
//! with a section that describes the component they want to be; they are wrapped here. Preview 1 modules would need an
//! adapter that this gateway does not carry.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::error::LoadError;

/// The preview 1 ABI, as core modules import it.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The component in `bytes`, or made of the core module in them.
pub(crate) fn component<'a>(name: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, LoadError> {
    if Parser::is_component(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    if !Parser::is_core_wasm(bytes) {
        return Err(LoadError::NotWasm { name: name.to_owned() });
    }
    wrap(bytes).map(Cow::Owned).map_err(|reason| LoadError::CoreModule { name: name.to_owned(), reason })
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut described = false;
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| error.to_string())? {
            Payload::CustomSection(section) => described |= section.name().starts_with("component-type"),
            Payload::ImportSection(imports) => refuse_preview_1(imports)?,
            _ => {}
        }
    }
    if !described {
        return Err("it has no component-type section; build it with the plugin SDK for wasm32-wasip2".to_owned());
    }
    let encode = || ComponentEncoder::default().module(module)?.validate(true).encode();
    encode().map_err(|error| format!("{error:#}"))
}

fn refuse_preview_1(imports: wasmparser::ImportSectionReader<'_>) -> Result<(), String> {
    for import in imports.into_imports() {
        if import.map_err(|error| error.to_string())?.module == PREVIEW_1 {
            return Err("it was built for WASI preview 1; build it for wasm32-wasip2".to_owned());
        }
    }
    Ok(())
}
