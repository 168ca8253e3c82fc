//! What is accepted as a plugin, and how everything else is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use sluice_model::{CatalogService, Contribution};
use sluice_wasm::{Artifact, CallError, Engine, LoadError, PolicyPre, RouterInstance, World};
use support::{Exchange, Journal, LIMITS, component, described, load, policy, router};

const NEXT: &str = "(i32.const 2048)";

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn components_and_described_core_modules_load() {
    for bytes in [component(&policy(NEXT), "policy"), described(&policy(NEXT), "policy")] {
        let artifact = load(&bytes).unwrap();
        assert_eq!(artifact.world(), World::Policy);
        assert_eq!(artifact.digest().len(), 64);
        assert!(artifact.imports().contains(&"sluice:gateway/state@0.1.0".to_owned()));
    }
    assert_eq!(load(&component(&router(), "router")).unwrap().world(), World::Router);
}

#[test]
fn a_router_is_called_as_one() {
    let artifact = load(&described(&router(), "router")).unwrap();
    let journal = Arc::new(Journal::default());
    let mut instance = RouterInstance::new(&artifact, LIMITS, journal).unwrap();
    assert_eq!(instance.configure(0, "{}").unwrap(), Ok(()));
    let service = CatalogService { name: "web".to_owned(), instances: vec![] };
    assert_eq!(instance.contribute(0, &service).unwrap(), Contribution::default());
    let wrong = PolicyPre::<Exchange>::new(&artifact);
    assert!(matches!(wrong.err(), Some(CallError::Contract(_))));
}

#[test]
fn what_is_not_wasm_is_refused() {
    for bytes in [&b""[..], b"\0as", b"#!/bin/sh\n", b"PK\x03\x04 and so on"] {
        assert!(matches!(load(bytes), Err(LoadError::NotWasm { .. })), "{bytes:?}");
    }
}

#[test]
fn size_is_capped_before_anything_is_read() {
    let error = load(&vec![0; 16 * 1024 * 1024 + 1]).err().unwrap();
    assert_eq!(error.to_string(), "plugin `guest` has 16777217 bytes; at most 16777216 are accepted");
}

#[test]
fn truncated_and_damaged_components_are_refused_or_harmless() {
    let whole = component(&policy(NEXT), "policy");
    for length in (0..whole.len()).step_by(97) {
        assert!(load(&whole[..length]).is_err(), "the first {length} bytes of {}", whole.len());
    }
    for place in (8..whole.len()).step_by(41) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x15;
        // Some changes, in a name or in data, leave a plugin. None may do worse than be refused.
        let _ = load(&damaged);
    }
}

#[test]
fn a_core_module_without_a_description_is_refused() {
    let error = load(&wat("(module)")).err().unwrap();
    assert!(error.to_string().contains("no component-type section"), "{error}");
}

#[test]
fn a_preview_1_module_is_told_what_to_do() {
    let module = wat(r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#);
    let error = load(&module).err().unwrap();
    assert!(error.to_string().contains("build it for wasm32-wasip2"), "{error}");
}

#[test]
fn a_component_of_no_world_is_told_what_it_exports() {
    let error = load(&wat("(component)")).err().unwrap();
    assert!(error.to_string().contains("it exports nothing;"), "{error}");
    let error = load(&wat(r#"(component (instance $i) (export "a:b/c@1.0.0" (instance $i)))"#)).err().unwrap();
    assert!(error.to_string().contains("it exports `a:b/c@1.0.0`;"), "{error}");
}

#[test]
fn a_component_of_both_worlds_is_refused() {
    let both = r#"(component (instance $i)
        (export "sluice:gateway/router-plugin@0.1.0" (instance $i))
        (export "sluice:gateway/policy-plugin@0.1.0" (instance $i)))"#;
    assert!(matches!(load(&wat(both)), Err(LoadError::TwoWorlds { .. })));
}

#[test]
fn another_version_of_the_contract_is_named() {
    let newer = r#"(component (instance $i) (export "sluice:gateway/policy-plugin@9.1.0" (instance $i)))"#;
    let error = load(&wat(newer)).err().unwrap().to_string();
    assert!(error.contains("built for sluice:gateway/policy-plugin@9.1.0; this gateway speaks 0.1.0"), "{error}");
    let needs = r#"(component (import "sluice:gateway/state@0.2.0" (instance))
        (instance $i) (export "sluice:gateway/policy-plugin@0.1.0" (instance $i)))"#;
    assert!(matches!(load(&wat(needs)), Err(LoadError::Version { .. })));
}

#[test]
fn a_later_patch_of_the_same_contract_passes_the_version_check() {
    let patch = r#"(component (instance $i) (export "sluice:gateway/policy-plugin@0.1.7" (instance $i)))"#;
    assert!(matches!(load(&wat(patch)), Err(LoadError::Link { .. })));
}

#[test]
fn unknown_imports_are_listed() {
    let needy = r#"(component
        (import "sluice:gateway/teleport@0.1.0" (instance))
        (import "wasi:http/outgoing-handler@0.2.0" (instance))
        (import "wasi:io/poll@0.2.6" (instance))
        (import "print" (func))
        (instance $i) (export "sluice:gateway/policy-plugin@0.1.0" (instance $i)))"#;
    let error = load(&wat(needy)).err().unwrap();
    let LoadError::UnknownImports { imports, .. } = error else { panic!("{error}") };
    assert_eq!(imports, ["sluice:gateway/teleport@0.1.0", "wasi:http/outgoing-handler@0.2.0", "print"]);
}

#[test]
fn a_router_may_not_import_what_policies_may() {
    let greedy = r#"(component (import "sluice:gateway/state@0.1.0" (instance))
        (instance $i) (export "sluice:gateway/router-plugin@0.1.0" (instance $i)))"#;
    assert!(matches!(load(&wat(greedy)), Err(LoadError::UnknownImports { .. })));
}

#[test]
fn right_names_with_wrong_types_are_refused() {
    let hollow = r#"(component (instance $i) (export "sluice:gateway/policy-plugin@0.1.0" (instance $i)))"#;
    assert!(matches!(load(&wat(hollow)), Err(LoadError::Link { .. })));
}

#[test]
fn compiled_plugins_are_cached_where_told() {
    let directory = std::env::temp_dir().join(format!("sluice-wasm-cache-{}", std::process::id()));
    let bytes = component(&policy(NEXT), "policy");
    let count = || walk(&directory);
    let engine = Engine::new(Some(&directory)).unwrap();
    let first = Artifact::load(&engine, "guest", &bytes).unwrap();
    let after_first = count();
    let second = Artifact::load(&engine, "guest", &bytes).unwrap();
    assert_eq!(first.digest(), second.digest());
    assert!(after_first > 0);
    drop((first, second, engine));
    // The cache notes in the background what was used of it, so a file may appear while the folder is emptied.
    while let Err(error) = std::fs::remove_dir_all(&directory) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty);
    }
}

#[test]
fn code_that_everybody_could_have_written_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let directory = std::env::temp_dir().join(format!("sluice-wasm-open-cache-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Engine::new(Some(&directory)).err().map(|error| error.to_string());
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let accepted = Engine::new(Some(&directory)).is_ok();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(refused.is_some_and(|reason| reason.contains("every user may write into it")));
    assert!(accepted);
}

fn walk(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn the_version_is_that_of_the_contract() {
    let wit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let version = resolve.packages[package].name.version.as_ref().unwrap().to_string();
    let newer = r#"(component (instance $i) (export "sluice:gateway/policy-plugin@9.0.0" (instance $i)))"#;
    let LoadError::Version { ours, .. } = load(&wat(newer)).err().unwrap() else { panic!("not a version error") };
    assert_eq!(ours, version);
}
