//! `sluice migrate`: a Traefik configuration in, the equivalent `sluice.toml` out, and what became of every key.
//!
//! Static configuration only, of Traefik 1, 2 and 3, in TOML or YAML: tags stay as they are. Nothing is guessed: a key
//! without an equivalent is reported, and what is written is checked as `sluice run` would.

mod draft;
mod policies;
mod shared;
mod source;
mod v1;
mod v3;
mod yaml;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Output, OutputArgs, failed, say};
use crate::config::Config;
use draft::Draft;
use source::{Fate, Note, Source};

/// A configuration that is larger is none.
const MAX_BYTES: u64 = 16 << 20;

/// What to migrate, and where to.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Traefik's static configuration: traefik.toml, traefik.yml
    file: PathBuf,
    /// Write the configuration here instead of to the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which Traefik the file is for; without it, what the keys look like
    #[arg(long, value_enum)]
    from: Option<Generation>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A generation of Traefik.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generation {
    /// 1.x
    V1,
    /// 2.x
    V2,
    /// 3.x
    V3,
}

/// Why nothing can be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Neither TOML nor YAML.
    #[error("{0} is not valid {1}: {2}")]
    Syntax(String, &'static str, String),
}

/// A file that was migrated.
#[derive(Debug)]
pub struct Migrated {
    /// `sluice.toml`
    pub config: String,
    /// What became of each key, one a line, those that were carried over left out.
    pub report: String,
    notes: Vec<Note>,
    problems: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match migrate(&arguments.file, arguments.from).and_then(|migrated| write(arguments, &migrated).map(|()| migrated)) {
        Ok(migrated) if migrated.problems.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn write(arguments: &Arguments, migrated: &Migrated) -> Result<(), MigrateError> {
    if let Some(out) = &arguments.out {
        std::fs::write(out, &migrated.config).map_err(|error| MigrateError::File(out.display().to_string(), error))?;
    }
    match (arguments.output.output, &arguments.out) {
        (Output::Json, _) => say(migrated.json()),
        (Output::Text, None) => say(migrated.config.trim_end()),
        (Output::Text, Some(_)) => {}
    }
    if arguments.output.output == Output::Text {
        // There is nobody left to tell if this fails.
        let _ = std::io::stderr().write_all(migrated.report.as_bytes());
    }
    Ok(())
}

/// Migrates a file.
///
/// # Errors
/// [`MigrateError`]; what cannot be carried over is in the report.
pub fn migrate(file: &Path, from: Option<Generation>) -> Result<Migrated, MigrateError> {
    let root = read(file)?;
    let mut source = Source::new(&root);
    let mut draft = Draft::default();
    let is_v1 = from.map_or_else(|| v1::is_v1(&source), |from| from == Generation::V1);
    let is_v2 = from.map_or_else(|| v3::is_v2(&source), |from| from == Generation::V2);
    if is_v1 {
        v1::migrate(&mut source, &mut draft);
    } else {
        v3::migrate(&mut source, &mut draft, is_v2);
        if from.is_none() && !is_v2 {
            let text =
                "taken for Traefik 3; if it is for Traefik 2, say `--from v2`: its rules are written in the v2 syntax";
            source.note("(generation)", Fate::Differs, text);
        }
    }
    let notes = source.finish(if is_v1 { v1::ROWS } else { v3::ROWS });
    let config = draft.to_string();
    let problems = match Config::parse("sluice.toml", &config) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.as_slice().iter().map(ToString::to_string).collect(),
    };
    let report = report(&notes, &problems);
    Ok(Migrated { config, report, notes, problems })
}

fn read(file: &Path) -> Result<Value, MigrateError> {
    use std::io::Read;
    let name = file.display().to_string();
    let mut text = String::new();
    let opened = std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES).read_to_string(&mut text));
    opened.map_err(|error| MigrateError::File(name.clone(), error))?;
    let is_yaml = file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let (language, read) = if is_yaml {
        ("YAML", yaml::parse(&text))
    } else {
        ("TOML", toml::from_str(&text).map_err(|error| error.to_string()))
    };
    read.map_err(|error| MigrateError::Syntax(name, language, error))
}

fn report(notes: &[Note], problems: &[String]) -> String {
    let carried = notes.iter().filter(|note| note.fate == Fate::Carried).count();
    let mut text = format!("{carried} keys carried over\n");
    for fate in [Fate::Differs, Fate::Unsupported, Fate::Unknown] {
        for note in notes.iter().filter(|note| note.fate == fate) {
            text.push_str(&format!("{}: {}: {}\n", fate.as_str(), note.key, note.text));
        }
    }
    for problem in problems {
        text.push_str(&format!("to mend by hand: {problem}\n"));
    }
    text
}

impl Migrated {
    fn json(&self) -> Value {
        let note = |note: &Note| json!({ "key": note.key, "fate": note.fate.as_str(), "note": note.text });
        json!({
            "config": self.config,
            "keys": self.notes.iter().map(note).collect::<Vec<_>>(),
            "problems": self.problems,
        })
    }
}
