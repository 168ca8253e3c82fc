//! Everything CI checks, cheapest first. `.ci/run` is this and nothing else.
//!
//! Profiles: wasmtime is compiled only for `release`, so everything that links it is checked and tested there; the
//! packages that do not are tested unoptimised, with overflow checks and debug assertions.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::steps::{Counts, Outcome, Runner, run_counted};
use crate::workspace::{
    build_plugins, cargo, ensure_wasm_target, execute, find_consul, find_program, gateway_binary, in_ci,
    plugin_packages, root, target_dir,
};
use crate::{conformance, layers};

/// Packages that link wasmtime, or need the built gateway.
const RELEASE_PACKAGES: [&str; 3] = ["sluice-gateway", "sluice-wasm", "sluice-tests"];

#[derive(Args)]
pub(crate) struct Options {
    /// Run only this step
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
}

/// Runs the steps, all of them even when one fails, and prints the totals last.
pub(crate) fn run(options: &Options) -> Result<()> {
    install_for_ci()?;
    let mut runner = Runner::new(options.only.clone());
    ensure_wasm_target()?;
    static_checks(&mut runner);
    runner.step("pure", test_pure_packages);
    runner.step("plugins", |_| checked(build_plugins()));
    runner.step("build", |_| checked(build_release()));
    runner.step("tests", test_release_packages);
    runner.step("conformance", conformance::run);
    runner.step("deny", |_| deny());
    note_missing_programs(&mut runner)?;
    runner.finish()
}

fn static_checks(runner: &mut Runner) {
    runner.step("fmt", |_| checked(execute(&mut cargo(&["fmt", "--all", "--check"]))));
    runner.step("layers", |_| checked(layers::check()));
    runner.step("bindings", |_| {
        checked(execute(&mut cargo(&["run", "--quiet", "--package", "sluice-bindings", "--", "--check"])))
    });
    runner.step("clippy", |_| {
        let arguments = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
        checked(execute(&mut cargo(&arguments)))
    });
    runner.step("doc", |_| {
        let mut doc = cargo(&["doc", "--release", "--workspace", "--no-deps"]);
        checked(execute(doc.env("RUSTDOCFLAGS", "-D warnings")))
    });
}

fn checked(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed(Counts::ONE))
}

fn test_pure_packages(counts: &mut Counts) -> Result<Outcome> {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    let examples = ["header-rewrite", "maintenance", "path-router", "tenant-limit"];
    for package in ["sluice-model", "sluice-consul", "sluice-plugin-sdk", "xtask"].iter().chain(&examples) {
        command.args(["--package", package]);
    }
    for package in plugin_packages()? {
        command.args(["--package", &package]);
    }
    with_consul(&mut command)?;
    run_counted(&mut command, counts)?;
    Ok(Outcome::Passed(Counts::default()))
}

/// With the targets of the tests, whose dependencies ask for more features of shared crates: built apart from them, the
/// gateway would have wasmtime compiled a second time.
fn build_release() -> Result<()> {
    let mut command = cargo(&["build", "--release", "--all-targets"]);
    for package in RELEASE_PACKAGES {
        command.args(["--package", package]);
    }
    execute(&mut command)
}

fn test_release_packages(counts: &mut Counts) -> Result<Outcome> {
    let mut command = cargo(&["test", "--release", "--no-fail-fast"]);
    for package in RELEASE_PACKAGES {
        command.args(["--package", package]);
    }
    with_consul(&mut command)?;
    run_counted(command.env("SLUICE_BIN", gateway_binary()), counts)?;
    Ok(Outcome::Passed(Counts::default()))
}

fn with_consul(command: &mut Command) -> Result<()> {
    if let Some(consul) = find_consul()? {
        command.env("CONSUL_BIN", consul);
    }
    Ok(())
}

/// Licences, duplicates and origins of the dependencies. The advisory database is not looked at: CI may be offline.
fn deny() -> Result<Outcome> {
    if find_program("cargo-deny").is_none() {
        return Ok(Outcome::Skipped("cargo-deny is not installed: `cargo install --locked cargo-deny`".to_owned()));
    }
    checked(execute(&mut cargo(&["deny", "check", "bans", "licenses", "sources"])))
}

/// CI starts on a bare machine and may skip no test for want of a program.
fn install_for_ci() -> Result<()> {
    if !in_ci() {
        return Ok(());
    }
    if find_program("python3").is_none() {
        execute(Command::new("apt-get").args([
            "install",
            "--yes",
            "--no-install-recommends",
            "python3",
            "python3-venv",
        ]))?;
    }
    prepare_grpc()?;
    if find_consul()?.is_none() {
        bail!("CI tests against a real Consul agent and there is none");
    }
    Ok(())
}

/// A Python with grpcio, apart from the system's: the gateway is tested with real gRPC at both ends.
fn prepare_grpc() -> Result<()> {
    let folder = target_dir().join("grpc");
    if grpc_python().is_file() {
        return Ok(());
    }
    execute(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    execute(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "grpcio"]))
}

fn grpc_python() -> std::path::PathBuf {
    target_dir().join("grpc/bin/python")
}

fn note_missing_programs(runner: &mut Runner) -> Result<()> {
    if find_consul()?.is_none() {
        let reason = "the tests that need a real Consul agent: no `consul` on PATH and no CONSUL_BIN";
        runner.note_skipped("consul", reason);
    }
    if find_program("python3").is_none() {
        runner.note_skipped("python3", "the Python service of the demo: no `python3` on PATH");
    }
    if !grpc_python().is_file() && std::env::var_os("GRPC_PYTHON").is_none() {
        let reason = "gRPC: no Python with grpcio at target/grpc (python3 -m venv, pip install grpcio) or GRPC_PYTHON";
        runner.note_skipped("grpc", reason);
    }
    if !root().join("../shared/conformance").is_dir() {
        runner.note_skipped("vectors", "no tag vectors beside this checkout");
    }
    Ok(())
}
