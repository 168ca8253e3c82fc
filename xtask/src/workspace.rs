//! Where things are in the repository, which programs are at hand, and the builds every verb shares.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const WASM_TARGET: &str = "wasm32-wasip2";

/// The top folder of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The gateway's binary: the one `SLUICE_BIN` names, else the one a release build makes.
pub(crate) fn gateway_binary() -> PathBuf {
    env::var_os("SLUICE_BIN").map_or_else(|| target_dir().join("release/sluice"), PathBuf::from)
}

/// Whether this is a run of CI, where nothing may be skipped for want of a program.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// The cargo that runs this program, in the top folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// The full path of a program on PATH, or in the places Debian puts daemons.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A Consul binary: `CONSUL_BIN`, else `consul` on PATH; in CI it is fetched if neither is there.
pub(crate) fn find_consul() -> Result<Option<PathBuf>> {
    if let Some(named) = env::var_os("CONSUL_BIN").map(PathBuf::from) {
        ensure!(named.is_file(), "CONSUL_BIN names {}, which is not a file", named.display());
        return Ok(Some(named));
    }
    let found = find_program("consul");
    if found.is_some() || !in_ci() {
        return Ok(found);
    }
    let output = Command::new("bash").arg(root().join(".ci/consul.sh")).output().context("start .ci/consul.sh")?;
    ensure!(
        output.status.success(),
        "get consul through .ci/consul.sh: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(path.is_file(), ".ci/consul.sh printed {}, which is not a file", path.display());
    Ok(Some(path))
}

/// Runs a command whose output belongs on this terminal.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed ({status})", describe(command));
    Ok(())
}

/// A command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Makes sure the toolchain in use can build plugins. Automatic installation by rustup may be switched off, so the
/// target is added here rather than left to `rust-toolchain.toml`.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    if wasm_target_installed()? {
        return Ok(());
    }
    println!("adding the target {WASM_TARGET}");
    let added = Command::new("rustup").current_dir(root()).args(["target", "add", WASM_TARGET]).status();
    match added {
        Ok(status) if status.success() && wasm_target_installed()? => Ok(()),
        Ok(_) => bail!("`rustup target add {WASM_TARGET}` failed: plugins cannot be built without that target"),
        Err(error) => bail!(
            "the toolchain has no standard library for {WASM_TARGET} and rustup cannot be started ({error}): \
             install Rust through rustup, or that target by your system's own means"
        ),
    }
}

fn wasm_target_installed() -> Result<bool> {
    let mut rustc = Command::new("rustc");
    let output = rustc.current_dir(root()).args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    let output = output.context("start rustc")?;
    let directory = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(directory.trim()).is_dir())
}

/// Builds the gateway with its default plugins inside, unless `SLUICE_BIN` names one that is built.
pub(crate) fn build_gateway() -> Result<PathBuf> {
    let binary = gateway_binary();
    if env::var_os("SLUICE_BIN").is_none() {
        ensure_wasm_target()?;
        execute(&mut cargo(&["build", "--release", "--package", "sluice-gateway"]))?;
    }
    ensure!(binary.is_file(), "there is no gateway at {}", binary.display());
    Ok(binary)
}

/// Builds every package of `plugins/` and of `tests/guests/` as a component.
pub(crate) fn build_plugins() -> Result<()> {
    ensure_wasm_target()?;
    let mut command = cargo(&["build", "--profile", "plugin", "--target", WASM_TARGET, "--target-dir"]);
    command.arg(target_dir().join("plugins"));
    for name in plugin_packages()?.into_iter().chain(packages("tests/guests", "guest")?) {
        command.args(["--package", &name]);
    }
    execute(&mut command)
}

/// The packages of `plugins/`, by the convention that folder `x` holds package `sluice-x`.
pub(crate) fn plugin_packages() -> Result<Vec<String>> {
    packages("plugins", "sluice")
}

/// The packages of a folder whose folder `x` holds package `<prefix>-x`.
fn packages(folder: &str, prefix: &str) -> Result<Vec<String>> {
    let folder = root().join(folder);
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(format!("{prefix}-{}", entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}
