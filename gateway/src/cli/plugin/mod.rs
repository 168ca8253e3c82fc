//! `sluice plugin`: everything an author needs between an idea and a component in a running gateway.
//!
//! `new` writes a crate that works, `build` compiles it and can go on doing so whenever it changes, `inspect` says what a
//! component is and wants, `test` and `bench` let it handle exchanges in a gateway of their own: the same binary, a
//! client and an instance.

mod bench;
mod build;
mod cases;
mod deploy;
mod inspect;
mod new;
mod stage;
mod test;
mod upstream;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::failed;
use crate::control::BUILT_IN;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Write a crate for a plugin, which compiles and passes its tests as it is
    New(new::Arguments),
    /// Compile a crate to a component, once or whenever its sources change
    Build(build::Arguments),
    /// Say what a component is, imports and wants
    Inspect(inspect::Arguments),
    /// Let a component handle the exchanges of a file and compare what becomes of them
    Test(test::Arguments),
    /// Measure what a component's hooks cost
    Bench(bench::Arguments),
}

/// Why a verb cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum PluginError {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Engine(#[from] sluice_wasm::EngineError),
    #[error(transparent)]
    Load(#[from] sluice_wasm::LoadError),
}

pub(super) fn run(verb: Verb) -> ExitCode {
    let done = match verb {
        Verb::New(arguments) => new::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Inspect(arguments) => inspect::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
    };
    done.unwrap_or_else(|error| failed(&error))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PluginError {
    let name = path.display().to_string();
    move |error| PluginError::File(name, error)
}

/// A component and the name it goes by: a file and its stem, a crate's folder, which is compiled first, or, where there is
/// neither, a default plugin by its name.
fn component(path: &Path) -> Result<(String, Cow<'static, [u8]>), PluginError> {
    let built_in = path.to_str().and_then(|name| BUILT_IN.iter().find(|(known, _)| *known == name));
    if let Some((name, bytes)) = built_in.filter(|_| !path.exists()) {
        return Ok(((*name).to_owned(), Cow::Borrowed(*bytes)));
    }
    let file = if path.is_dir() { build::compile(path)? } else { path.to_owned() };
    let bytes = std::fs::read(&file).map_err(at(&file))?;
    let no_name = || PluginError::Refused(format!("{} has no name a plugin could have", file.display()));
    let name = file.file_stem().and_then(|stem| stem.to_str()).ok_or_else(no_name)?;
    Ok((if path.is_dir() { plugin_name(name) } else { name.to_owned() }, bytes.into()))
}

/// Cargo calls a component of `tenant-limit` `tenant_limit`.
fn plugin_name(stem: &str) -> String {
    stem.replace('_', "-")
}

/// The cases of a component, where none are named: a crate's own, or those of the current folder.
fn cases_of(path: &Path) -> PathBuf {
    let name = Path::new("cases.toml");
    if path.is_dir() { path.join(name) } else { name.to_owned() }
}

/// A folder that is removed with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, PluginError> {
        let path = std::env::temp_dir().join(format!("sluice-plugin-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in a temporary folder.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
