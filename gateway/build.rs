//! Compiles the default plugins to Wasm, so that they can be embedded.
//!
//! They are built by a cargo of their own into `target/plugins`, whatever profile the gateway is built with: one set of
//! guests serves every build, and the two cargos never wait for each other's lock.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Plugin names; the package of each is `sluice-` and its name.
const PLUGINS: [&str; 9] = [
    "auth",
    "canary",
    "circuit-breaker",
    "concurrency",
    "degrade",
    "forward-auth",
    "ip-allow-list",
    "rate-limit",
    "traefik-tags",
];
const TARGET: &str = "wasm32-wasip2";

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf);
    for watched in ["plugins", "plugin-sdk", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = target_directory(&out);
    if let Err(problem) = build(&root, &target).and_then(|()| copy(&target, &out)) {
        println!("cargo::error={problem}");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// `OUT_DIR` is `<target>/<profile>/build/<package>/out`, possibly with a triple before the profile.
fn target_directory(out: &Path) -> PathBuf {
    let mut above = out.ancestors();
    let build = above.find(|path| path.file_name().is_some_and(|name| name == "build"));
    let profile = build.and_then(Path::parent);
    profile.and_then(Path::parent).unwrap_or(out).join("plugins")
}

fn build(root: &Path, target: &Path) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "plugin", "--target", TARGET, "--target-dir"]).arg(target);
    for plugin in PLUGINS {
        cargo.arg("--package").arg(format!("sluice-{plugin}"));
    }
    // What cargo and its wrappers set for this build is not meant for the guests.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME" || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().map_err(|error| format!("cannot start cargo for the default plugins: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let hint = if text.contains("target may not be installed") {
        format!(" (add the target: `rustup target add {TARGET}`)")
    } else {
        String::new()
    };
    // A build script's error is one line; the whole story goes before it.
    text.lines().for_each(|line| println!("cargo::warning={line}"));
    Err(format!("the default plugins do not build for {TARGET}{hint}"))
}

fn copy(target: &Path, out: &Path) -> Result<(), String> {
    for plugin in PLUGINS {
        let file = format!("sluice_{}.wasm", plugin.replace('-', "_"));
        let from = target.join(TARGET).join("plugin").join(file);
        let to = out.join(format!("{plugin}.wasm"));
        std::fs::copy(&from, &to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
    }
    Ok(())
}
