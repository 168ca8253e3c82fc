//! The command line: takes arguments, calls the part that does the work, and says how it went.
//!
//! Exit codes: 0 for success, 1 for failure, 2 for arguments that make no sense. Answers go to the standard output,
//! complaints to the standard error.

mod admin_client;
pub mod check;
mod explain;
mod healthcheck;
pub mod migrate;
mod plugin;
mod report;
mod table;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::app;
use crate::config::{Config, Sources};
use crate::telemetry::log;

/// A Wasm-programmable API gateway.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Without a verb, the gateway runs.
    #[command(flatten)]
    run: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve
    Run(ConfigArgs),
    /// Validate the configuration, plugins and their settings without serving
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say which route a request takes and why the others do not
    Explain(explain::Arguments),
    /// Write the equivalent of a Traefik configuration, and what becomes of each of its keys
    Migrate(migrate::Arguments),
    /// Write, compile, inspect, test and measure plugins
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Ask a running gateway whether it serves, for Docker and Keepalived
    Healthcheck(healthcheck::Arguments),
    /// Print the version
    Version {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print a script that completes arguments in a shell
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration; without it $SLUICE_CONFIG, ./sluice.toml, $XDG_CONFIG_HOME/sluice/sluice.toml,
    /// /etc/sluice/sluice.toml
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key over the file and the environment, such as entrypoints.web.address=127.0.0.1:8000
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, Args)]
struct OutputArgs {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl ConfigArgs {
    fn sources(self) -> Sources {
        Sources::of_process(self.config, self.set)
    }
}

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; nothing can be said if nobody listens.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.verb {
        None => run(cli.run),
        Some(Verb::Run(config)) => run(config),
        Some(Verb::Check { config, output }) => check(config, output.output),
        Some(Verb::Explain(arguments)) => explain::run(arguments),
        Some(Verb::Migrate(arguments)) => migrate::run(&arguments),
        Some(Verb::Plugin(verb)) => plugin::run(verb),
        Some(Verb::Healthcheck(arguments)) => healthcheck(&arguments),
        Some(Verb::Version { output }) => version(output.output),
        Some(Verb::Completion { shell }) => completion(shell),
    }
}

fn run(arguments: ConfigArgs) -> ExitCode {
    let sources = arguments.sources();
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(problems) => {
            report::complain(problems.as_slice());
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = log::start(&config.log) {
        return failed(&error);
    }
    app::run(config, Box::new(move || Config::load(&sources))).unwrap_or_else(|error| failed(&error))
}

/// Finds everything that can be found without serving.
fn check(arguments: ConfigArgs, output: Output) -> ExitCode {
    let (file, findings) = match Config::load(&arguments.sources()) {
        Ok(config) => (config.file.clone(), check::run(&config)),
        Err(problems) => (None, check::Findings { problems: problems.into_vec(), ..check::Findings::default() }),
    };
    let check::Findings { problems, warnings } = findings;
    match output {
        Output::Json => say(report::json(&problems, &warnings)),
        Output::Text => {
            report::warn(&warnings);
            if problems.is_empty() {
                let file = file.as_deref().map_or("the environment".into(), |file| file.display().to_string());
                say(format_args!("{file}: no problems"));
            } else {
                report::complain(&problems);
            }
        }
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn healthcheck(arguments: &healthcheck::Arguments) -> ExitCode {
    match healthcheck::ask(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn version(output: Output) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Output::Text => say(format_args!("sluice {version}")),
        Output::Json => say(serde_json::json!({ "name": "sluice", "version": version })),
    }
    ExitCode::SUCCESS
}

fn completion(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut script);
    // Whoever asked may have gone, as `head` does.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

fn say(text: impl Display) {
    // Whoever asked may have gone, as `head` does.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says what failed, with everything it was caused by.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("sluice: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors repeat their source in their own text.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_verb_runs() {
        let cli = Cli::try_parse_from(["sluice", "--config", "a.toml", "--set", "a=1", "--set", "b=2"]).unwrap();
        assert!(cli.verb.is_none());
        assert_eq!((cli.run.config, cli.run.set), (Some("a.toml".into()), vec!["a=1".to_owned(), "b=2".to_owned()]));
        assert_eq!(Cli::try_parse_from(["sluice", "rnu"]).unwrap_err().exit_code(), 2);
    }
}
