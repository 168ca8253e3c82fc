//! Writes the guest side of `wit/` to `plugin-sdk/src/bindings/`, one file for each world, so that building a plugin
//! needs no generator. With `--check` it writes nothing and fails when the committed files are not what it would write.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::{Opts, WithOption};

/// The interface both worlds import. The router's bindings define it, the policy's refer to it.
const SHARED: &str = "sluice:gateway/log@0.1.0";

fn main() -> Result<()> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: sluice-bindings [--check]"),
    };
    let root = repository()?;
    for (world, module) in [("router", "router"), ("lean-policy", "policy")] {
        let text = generate(&root.join("wit"), world, module)?;
        let path = root.join(format!("plugin-sdk/src/bindings/{module}.rs"));
        if check {
            compare(&path, &text)?;
        } else {
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

fn repository() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("find the repository above xtask/bindings")?;
    Ok(root.to_path_buf())
}

fn generate(wit: &Path, world: &str, module: &str) -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("read {}", wit.display()))?;
    let world_id = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    options(module).build().generate(&mut resolve, world_id, &mut files)?;
    let (_, text) = files.iter().next().context("the generator made no file")?;
    Ok(String::from_utf8(text.to_vec())?)
}

fn options(name: &str) -> Opts {
    let module = format!("sluice_plugin_sdk::bindings::{name}");
    let shared = match name {
        "router" => WithOption::Generate,
        _ => WithOption::Path("crate::bindings::router::sluice::gateway::log".to_owned()),
    };
    Opts {
        format: true,
        generate_all: true,
        generate_unused_types: true,
        pub_export_macro: true,
        export_macro_name: Some(format!("__export_{name}_world")),
        default_bindings_module: Some(module),
        additional_derive_attributes: vec!["PartialEq".to_owned(), "Eq".to_owned()],
        with: vec![(SHARED.to_owned(), shared)],
        ..Opts::default()
    }
}

fn compare(path: &Path, text: &str) -> Result<()> {
    let committed = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if committed != text {
        bail!("{} does not match wit/: run `cargo run -p sluice-bindings` and commit the result", path.display());
    }
    Ok(())
}
