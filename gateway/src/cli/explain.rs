//! `sluice explain`: where a request would go and why, asked of a configuration or of a running gateway.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::admin_client::{self, AskError};
use super::table::Table;
use super::{ConfigArgs, Output, OutputArgs, failed, report, say};
use crate::admin::explain::{Question, explain};
use crate::config::Config;
use crate::control::{DryRunError, dry_run};

/// Routes that lose for their rules are many; people want the ones that came close.
const SHOWN: usize = 20;

/// What to explain, and who is asked.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask a running gateway, by the URL of its admin API, instead of working a configuration out
    #[arg(long, value_name = "URL", conflicts_with = "config", conflicts_with = "set")]
    admin: Option<String>,
    /// The file with the token of the admin API
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// The request's method
    method: String,
    /// The request's URL
    url: String,
    /// A header of the request
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The address the request comes from
    #[arg(long, value_name = "IP")]
    client: Option<String>,
    /// The entrypoint it arrives at; without it the one the URL's port or protocol belongs to
    #[arg(long, value_name = "NAME")]
    entrypoint: Option<String>,
    /// List every route, and not only the ones that came close
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{0} answered: {1}")]
    Answer(String, String),
    #[error(transparent)]
    DryRun(#[from] DryRunError),
    #[error("cannot explain: {0}")]
    Question(String),
    #[error("cannot read the token {0}: {1}")]
    Token(String, std::io::Error),
}

/// Prints the explanation. Fails where no route answers, so that scripts can test.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { config, admin, token_file, method, url, headers, client, entrypoint, all, output } = arguments;
    let question = Question { method, url, headers, client, entrypoint };
    let answer = match admin {
        Some(admin) => of_gateway(&admin, token_file.as_deref(), &question),
        None => match Config::load(&config.sources()) {
            Ok(config) => of_configuration(config, &question),
            Err(problems) => {
                report::complain(problems.as_slice());
                return ExitCode::FAILURE;
            }
        },
    };
    match answer {
        Err(error) => failed(&error),
        Ok(answer) => {
            match output.output {
                Output::Json => say(&answer),
                Output::Text => say(text(&answer, all).trim_end()),
            }
            if answer.get("route").is_none_or(Value::is_null) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

fn of_configuration(config: Config, question: &Question) -> Result<Value, ExplainError> {
    let config = Arc::new(config);
    let (status, generation) = dry_run(&config)?;
    explain(&config, &generation, &status, question).map_err(ExplainError::Question)
}

fn of_gateway(admin: &str, token_file: Option<&Path>, question: &Question) -> Result<Value, ExplainError> {
    let read = |file: &Path| {
        std::fs::read_to_string(file).map_err(|error| ExplainError::Token(file.display().to_string(), error))
    };
    let token = token_file.map(read).transpose()?;
    let target = format!("/api/explain?{}", question.to_query());
    let answer = admin_client::get(admin, token.as_deref().map(str::trim), &target)?;
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    match body {
        Some(body) if answer.is_ok() => Ok(body),
        body => {
            let said = body.and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
            Err(ExplainError::Answer(admin.to_owned(), said.unwrap_or(answer.status_line)))
        }
    }
}

/// The explanation for people.
fn text(answer: &Value, all: bool) -> String {
    let request = &answer["request"];
    let route = answer["route"].as_str();
    let mut out = String::new();
    let query = request["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} {}{}{query} on entrypoint {}: {}",
        shown(&request["method"]),
        shown(&request["host"]),
        shown(&request["path"]),
        shown(&request["entrypoint"]),
        route.map_or("no route answers, 404".to_owned(), |route| format!("route {route}")),
    );
    if route.is_some() {
        out.push_str(&chain(&answer["chain"]));
        out.push_str(&service(&answer["service"]));
    }
    out.push_str(&candidates(&answer["candidates"], all));
    out.push_str(&refused(&answer["refused"]));
    out
}

fn chain(chain: &Value) -> String {
    let mut table = Table::new(&["STEP", "KIND", "SETTINGS"]);
    for step in list(chain) {
        let kind = step["type"].as_str().unwrap_or("missing");
        let settings = &step[kind];
        let settings = if settings.is_null() { String::new() } else { settings.to_string() };
        table.row([shown(&step["name"]), kind.to_owned(), settings]);
    }
    if list(chain).is_empty() { "\nno steps\n".to_owned() } else { format!("\n{table}") }
}

fn service(service: &Value) -> String {
    let mut table = Table::new(&["INSTANCE", "WEIGHT", "STATE"]);
    let servers = service.pointer("/loadBalancer/servers").unwrap_or(&Value::Null);
    for server in list(servers) {
        let url = shown(&server["url"]);
        let state =
            service.get("serverStatus").and_then(|states| states.get(url.as_str())).map(shown).unwrap_or_default();
        table.row([url, shown(&server["weight"]), state]);
    }
    format!("\nservice {}\n{table}", shown(&service["name"]))
}

fn candidates(candidates: &Value, all: bool) -> String {
    let mut candidates: Vec<&Value> = list(candidates).iter().collect();
    let total = candidates.len();
    if !all {
        candidates.sort_by_key(|candidate| distance(candidate));
        candidates.truncate(SHOWN);
    }
    let mut table = Table::new(&["ROUTE", "PRIORITY", "RULE", "OUTCOME"]);
    for candidate in candidates {
        let reasons: Vec<String> = list(&candidate["reasons"]).iter().map(shown).collect();
        let outcome = match candidate["outcome"].as_str() {
            Some("wins") => "wins".to_owned(),
            Some("disabled") => format!("does not work: {}", reasons.join("; ")),
            _ => reasons.join("; "),
        };
        table.row([shown(&candidate["name"]), shown(&candidate["priority"]), shown(&candidate["rule"]), outcome]);
    }
    let more = total.saturating_sub(SHOWN);
    let rest = if all || more == 0 { String::new() } else { format!("{more} more; --all lists them\n") };
    format!("\n{table}{rest}")
}

/// The winner, then what matches, then what fails in few parts.
fn distance(candidate: &Value) -> usize {
    match candidate["outcome"].as_str() {
        Some("wins") => 0,
        Some("outranked" | "not-served") => 1,
        Some("other-entrypoint" | "disabled") => 2,
        _ => list(&candidate["reasons"]).len().saturating_add(2),
    }
}

fn refused(refused: &Value) -> String {
    let mut out = String::new();
    for refusal in list(refused) {
        let _ = writeln!(
            out,
            "left out: {} of service {} ({}): {} {}",
            shown(&refusal["object"]),
            shown(&refusal["service"]),
            shown(&refusal["provider"]),
            shown(&refusal["reason"]),
            shown(&refusal["tag"])
        );
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_see_the_winner_the_chain_the_instances_and_why_others_lost() {
        let answer = json!({
            "request": { "method": "GET", "host": "a.test", "path": "/x", "query": "b", "entrypoint": "web" },
            "route": "a@file",
            "chain": [{ "name": "limit@file", "type": "plugin", "plugin": { "rate-limit": {} } }],
            "service": {
                "name": "a@file",
                "loadBalancer": { "servers": [{ "url": "http://10.0.0.1:80", "weight": 3 }] },
                "serverStatus": { "http://10.0.0.1:80": "UP" },
            },
            "candidates": [
                { "name": "b@file", "priority": 9, "rule": "Host:b", "outcome": "no-match", "reasons": ["one", "two"] },
                { "name": "a@file", "priority": 6, "rule": "Host:a", "outcome": "wins", "reasons": [] },
                { "name": "c@file", "priority": 6, "rule": "Host:c", "outcome": "disabled", "reasons": ["broken"] },
            ],
            "refused": [],
        });
        let expected = "\
GET a.test/x?b on entrypoint web: route a@file

STEP        KIND    SETTINGS
limit@file  plugin  {\"rate-limit\":{}}

service a@file
INSTANCE            WEIGHT  STATE
http://10.0.0.1:80  3       UP

ROUTE   PRIORITY  RULE    OUTCOME
a@file  6         Host:a  wins
c@file  6         Host:c  does not work: broken
b@file  9         Host:b  one; two
";
        assert_eq!(text(&answer, false), expected);
    }

    #[test]
    fn where_nothing_answers_refused_tags_are_shown() {
        let answer = json!({
            "request": { "method": "GET", "host": "a.test", "path": "/", "query": null, "entrypoint": "web" },
            "route": null,
            "candidates": [],
            "refused": [{ "service": "a", "object": "route a", "provider": "file", "reason": "bad", "tag": "t=1" }],
        });
        let expected = "\
GET a.test/ on entrypoint web: no route answers, 404

ROUTE  PRIORITY  RULE  OUTCOME

left out: route a of service a (file): bad t=1
";
        assert_eq!(text(&answer, false), expected);
    }
}
