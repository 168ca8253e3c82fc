//! `sluice plugin inspect`: what a component is, before anything of it runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use sluice_wasm::{Artifact, Engine};

use super::{PluginError, at, name_of};
use crate::cli::table::Table;
use crate::cli::{Output, OutputArgs, say};

/// What to look at.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The component
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// What an import means for whoever runs the plugin.
const GRANTS: &[(&str, &str)] = &[
    ("outbound", "outbound:TARGET for each target it calls"),
    ("exchange", "headers:NAME for each guarded header it reads"),
];

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let bytes = std::fs::read(&arguments.file).map_err(at(&arguments.file))?;
    let engine = Engine::new(None)?;
    let begun = Instant::now();
    let artifact = Artifact::load(&engine, &name_of(&arguments.file)?, &bytes)?;
    let shown = shown(&artifact, bytes.len(), begun.elapsed().as_secs_f64());
    match arguments.output.output {
        Output::Json => say(shown),
        Output::Text => say(text(&shown).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(artifact: &Artifact, size: usize, seconds: f64) -> Value {
    let interface = |import: &str| import.split(['/', '@']).nth(1).unwrap_or_default().to_owned();
    let imported: Vec<String> = artifact.imports().iter().map(|import| interface(import)).collect();
    let grants = GRANTS.iter().filter(|(import, _)| imported.iter().any(|one| one == import));
    json!({
        "name": artifact.name(),
        "world": artifact.world().as_str(),
        "digest": artifact.digest(),
        "size": size,
        "compileSeconds": seconds,
        "imports": artifact.imports(),
        "grants": grants.map(|(_, grant)| *grant).collect::<Vec<_>>(),
    })
}

fn text(shown: &Value) -> String {
    let mut table = Table::new(&["PROPERTY", "VALUE"]);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for key in ["name", "world", "digest", "size", "compileSeconds"] {
        table.row([key.to_owned(), plain(&shown[key])]);
    }
    for key in ["imports", "grants"] {
        for value in shown[key].as_array().into_iter().flatten() {
            table.row([key.to_owned(), plain(value)]);
        }
    }
    table.to_string()
}
