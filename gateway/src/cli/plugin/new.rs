//! `sluice plugin new`: a crate that compiles and passes its own tests.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{PluginError, at};
use crate::cli::say;

/// What to write, and where.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The plugin's name, such as `tenant-limit`; also that of the folder
    name: String,
    /// What it decides: routes of services, or exchanges
    #[arg(long, value_enum, default_value_t = Kind::Policy)]
    kind: Kind,
    /// The folder of `sluice-plugin-sdk`; without it the one of the repository around the current folder
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Turns the services a provider reports into routes
    Router,
    /// Decides about exchanges
    Policy,
}

const MANIFEST: &str = include_str!("templates/Cargo.toml.txt");
const POLICY: &str = include_str!("templates/policy.rs.txt");
const POLICY_CASES: &str = include_str!("templates/policy-cases.toml.txt");
const ROUTER: &str = include_str!("templates/router.rs.txt");
const ROUTER_CASES: &str = include_str!("templates/router-cases.toml.txt");

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let Arguments { name, kind, sdk } = arguments;
    check_name(name)?;
    let folder = PathBuf::from(name);
    if folder.exists() {
        return Err(PluginError::Refused(format!("there is a `{name}` already; nothing was written")));
    }
    let sdk = find_sdk(sdk.as_deref())?;
    let (code, cases) = match kind {
        Kind::Policy => (POLICY, POLICY_CASES),
        Kind::Router => (ROUTER, ROUTER_CASES),
    };
    let filled = |template: &str| {
        let path = toml::Value::from(sdk.display().to_string()).to_string();
        template.replace("{{name}}", name).replace("{{Name}}", &type_name(name)).replace("{{sdk}}", &path)
    };
    let source = folder.join("src");
    std::fs::create_dir_all(&source).map_err(at(&source))?;
    let files = [
        (folder.join("Cargo.toml"), MANIFEST),
        (source.join("lib.rs"), code),
        (folder.join("cases.toml"), cases),
        (folder.join(".gitignore"), "/target\n"),
    ];
    for (path, template) in files {
        std::fs::write(&path, filled(template)).map_err(at(&path))?;
    }
    say(format_args!(
        "{name}: test it natively with `cargo test` in its folder, let it handle the exchanges of {name}/cases.toml with \
         `sluice plugin test {name}`, and put it into a running gateway whenever it changes with `sluice plugin build \
         {name} --watch --into DIR`, the plugin directory"
    ));
    Ok(ExitCode::SUCCESS)
}

/// As crates and files may be called.
fn check_name(name: &str) -> Result<(), PluginError> {
    let mut letters = name.chars();
    let fits = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits {
        return Ok(());
    }
    let message =
        format!("`{name}` cannot be a plugin's name: use small letters, digits and dashes, as in `tenant-limit`");
    Err(PluginError::Refused(message))
}

fn find_sdk(given: Option<&Path>) -> Result<PathBuf, PluginError> {
    let here = std::env::current_dir().map_err(at(Path::new(".")))?;
    let found = match given {
        Some(path) => Some(here.join(path)),
        None => here.ancestors().map(|folder| folder.join("plugin-sdk")).find(|path| path.join("Cargo.toml").is_file()),
    };
    let found = found.filter(|path| path.join("Cargo.toml").is_file());
    let path = found.ok_or_else(|| {
        PluginError::Refused("sluice-plugin-sdk is not here; name its folder with `--sdk PATH`".to_owned())
    })?;
    path.canonicalize().map_err(at(&path))
}

/// `tenant-limit` is `TenantLimit`.
fn type_name(name: &str) -> String {
    let words = name.split('-').filter_map(|word| {
        let mut letters = word.chars();
        let first = letters.next()?;
        Some(first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        assert_eq!(type_name("tenant-limit2"), "TenantLimit2");
        for name in ["a", "tenant-limit", "x2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "2x", "a_b", "../a", "a b", "-a"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
