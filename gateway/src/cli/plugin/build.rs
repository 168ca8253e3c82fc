//! `sluice plugin build`: cargo with the right target, and again whenever a source changes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::deploy::Destination;
use super::{PluginError, at};
use crate::cli::say;

const TARGET: &str = "wasm32-wasip2";
/// Between two looks at the sources.
const LOOK: Duration = Duration::from_millis(300);

/// What to compile, and where to put it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The folder of the crate
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    destination: Destination,
    /// Compile again whenever a source changes, until interrupted
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    if !arguments.watch {
        once(arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut seen = None;
    let _ = writeln!(std::io::stderr(), "watching {}; end it with Ctrl-C", arguments.folder.join("src").display());
    loop {
        let newest = newest_source(&arguments.folder);
        if newest != seen {
            seen = newest;
            // What does not compile is said, and the next change is waited for.
            if let Err(error) = once(arguments) {
                let _ = writeln!(std::io::stderr(), "sluice: {error}");
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn once(arguments: &Arguments) -> Result<(), PluginError> {
    say(arguments.destination.take(&compile(&arguments.folder)?)?);
    Ok(())
}

/// Runs cargo; gives the component it made.
pub(super) fn compile(folder: &Path) -> Result<PathBuf, PluginError> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(["build", "--profile", "plugin", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().map_err(|error| {
        PluginError::Refused(format!("cannot start cargo ({error}); install Rust from https://rustup.rs"))
    })?;
    let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || pass_on(stderr)));
    let mut component = None;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok)
    {
        component = made(&line).or(component);
    }
    let status = child.wait().map_err(at(folder))?;
    let said = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if !status.success() {
        let hint = match () {
            () if said.contains("target may not be installed") => {
                format!("; add the target: `rustup target add {TARGET}`")
            }
            () if said.contains("profile `plugin` is not defined") => {
                "; define `[profile.plugin]` in Cargo.toml with `inherits = \"release\"`".to_owned()
            }
            () => String::new(),
        };
        return Err(PluginError::Refused(format!("cargo could not build {}{hint}", folder.display())));
    }
    component.ok_or_else(|| {
        PluginError::Refused("cargo made no component; the crate needs `crate-type = [\"cdylib\"]`".to_owned())
    })
}

/// Shows what cargo complains of as it comes, and keeps it.
fn pass_on(stderr: std::process::ChildStderr) -> String {
    let mut all = String::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = writeln!(std::io::stderr(), "{line}");
        all.push_str(&line);
        all.push('\n');
    }
    all
}

/// The component a line of cargo's says it made.
fn made(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let files = message.get("filenames")?.as_array()?;
    let found = files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm"))?;
    Some(PathBuf::from(found))
}

/// When a source, or the manifest, last changed; a folder changes when something in it comes or goes.
fn newest_source(folder: &Path) -> Option<SystemTime> {
    let mut newest = modified(&folder.join("Cargo.toml")).max(modified(&folder.join("src")));
    let mut folders = vec![folder.join("src")];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            newest = newest.max(modified(&path));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    newest
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_in_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","filenames":["/t/libx.rlib","/t/x.wasm"]}"#;
        assert_eq!(made(line), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(made(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(made("prose"), None);
    }
}
