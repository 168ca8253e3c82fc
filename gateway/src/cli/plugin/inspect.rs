//! `sluice plugin inspect`: what a component is and wants. Of its code, only what says what can be set runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sluice_wasm::{Artifact, Engine, Limits};

use super::{PluginError, component};
use crate::cli::table::Table;
use crate::cli::{Output, OutputArgs, say};
use crate::telemetry::PluginLogger;

/// What to look at.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The component, the folder of its crate, or the name of a default plugin
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// What an import means for whoever runs the plugin.
const GRANTS: &[(&str, &str)] = &[
    ("outbound", "outbound:TARGET for each target it calls"),
    ("exchange", "headers:NAME for each guarded header it reads"),
];

/// For the question what can be set: what a gateway gives a policy, and time enough for a machine that is busy.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(2), memory: 16 << 20 };

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let (name, bytes) = component(&arguments.file)?;
    let engine = Engine::new(None)?;
    let begun = Instant::now();
    let artifact = Artifact::load(&engine, &name, &bytes)?;
    let seconds = begun.elapsed().as_secs_f64();
    let schema = artifact.schema(LIMITS, PluginLogger::shared(&name));
    let schema = schema.map_err(|error| {
        PluginError::Refused(format!("{name}: it cannot be asked for its schema, so no gateway runs it: {error}"))
    })?;
    let shown = shown(&artifact, &schema, bytes.len(), seconds);
    match arguments.output.output {
        Output::Json => say(shown),
        Output::Text => say(text(&shown).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(artifact: &Artifact, schema: &str, size: usize, seconds: f64) -> Value {
    let grants = GRANTS.iter().filter(|(import, _)| artifact.has_import(import));
    json!({
        "name": artifact.name(),
        "version": artifact.version(),
        "world": artifact.world().as_str(),
        "digest": artifact.digest(),
        "size": size,
        "compileSeconds": seconds,
        "imports": artifact.imports(),
        "grants": grants.map(|(_, grant)| *grant).collect::<Vec<_>>(),
        "schema": serde_json::from_str::<Value>(schema).ok(),
    })
}

fn text(shown: &Value) -> String {
    let mut table = Table::new(&["PROPERTY", "VALUE"]);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for key in ["name", "version", "world", "digest", "size", "compileSeconds"] {
        if !shown[key].is_null() {
            table.row([key.to_owned(), plain(&shown[key])]);
        }
    }
    for key in ["imports", "grants"] {
        for value in shown[key].as_array().into_iter().flatten() {
            table.row([key.to_owned(), plain(value)]);
        }
    }
    let schema = match &shown["schema"] {
        Value::Null => "none; a policy says one by `Policy::schema`".to_owned(),
        schema => format!("\n{schema:#}"),
    };
    format!("{table}\nSETTINGS {schema}")
}
