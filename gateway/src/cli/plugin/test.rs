//! `sluice plugin test`: exchanges through the real engine, each compared with what it has to be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::cases::{Case, Cases};
use super::stage::Stage;
use super::upstream::{Message, ask};
use super::{PluginError, cases_of};
use crate::cli::table::Table;
use crate::cli::{Output, OutputArgs, say};

/// What to test, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The component, the folder of its crate, or the name of a default plugin
    file: PathBuf,
    /// The exchanges; those of the crate, or the file `cases.toml` here, where none are named
    cases: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let file = arguments.cases.clone().unwrap_or_else(|| cases_of(&arguments.file));
    let cases = Cases::read(&file)?;
    if cases.cases.is_empty() {
        return Err(PluginError::Refused(format!("{} has no [[case]]", file.display())));
    }
    let stage = Stage::start(&arguments.file, &cases)?;
    let results: Vec<(&str, Vec<String>)> =
        cases.cases.iter().map(|case| (case.name.as_str(), problems(&stage, case))).collect();
    let failed = results.iter().filter(|(_, problems)| !problems.is_empty()).count();
    match arguments.output.output {
        Output::Json => {
            let shown = results.iter().map(|(name, problems)| json!({ "case": name, "problems": problems }));
            say(json!({ "ok": failed == 0, "cases": shown.collect::<Vec<_>>() }));
        }
        Output::Text => {
            let mut table = Table::new(&["CASE", "RESULT"]);
            for (name, problems) in &results {
                let result = if problems.is_empty() { "ok".to_owned() } else { problems.join("; ") };
                table.row([(*name).to_owned(), result]);
            }
            say(format_args!("{table}{} passed, {failed} failed", results.len() - failed));
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What does not hold of a case.
fn problems(stage: &Stage, case: &Case) -> Vec<String> {
    std::thread::sleep(Duration::from_millis(case.wait_ms));
    let mut answer = Err(std::io::Error::other("it was never sent"));
    for _ in 0..case.repeat.max(1) {
        stage.upstream.expect(&case.upstream);
        answer = ask(stage.web, &case.request);
    }
    match answer {
        Ok(answer) => compare(case, &answer, stage.upstream.last().as_ref()),
        Err(error) => vec![format!("no answer: {error}")],
    }
}

fn compare(case: &Case, answer: &Message, seen: Option<&Message>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut same = |what: &str, wanted: Option<String>, found: String| {
        if wanted.as_ref().is_some_and(|wanted| *wanted != found) {
            problems.push(format!("{what}: expected `{}`, got `{found}`", wanted.unwrap_or_default()));
        }
    };
    let expect = &case.expect;
    let status = answer.first.split(' ').nth(1).unwrap_or_default().to_owned();
    same("status", expect.status.map(|status| status.to_string()), status);
    same("body", expect.body.clone(), text(&answer.body));
    same("reached", expect.reached.map(|reached| reached.to_string()), seen.is_some().to_string());
    headers("header", &expect.headers, answer, &mut same);
    if let Some(wanted) = &expect.upstream {
        let nothing = Message::default();
        let seen = seen.unwrap_or(&nothing);
        let mut words = seen.first.split(' ').map(str::to_owned);
        same("upstream method", wanted.method.clone(), words.next().unwrap_or_default());
        same("upstream path", wanted.path.clone(), words.next().unwrap_or_default());
        same("upstream body", wanted.body.clone(), text(&seen.body));
        headers("upstream header", &wanted.headers, seen, &mut same);
    }
    problems
}

fn headers(
    what: &str,
    wanted: &BTreeMap<String, String>,
    found: &Message,
    same: &mut impl FnMut(&str, Option<String>, String),
) {
    for (name, value) in wanted {
        let found = found.headers.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default();
        same(&format!("{what} {name}"), Some(value.clone()), found);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn everything_that_differs_is_named() {
        let cases: Cases = toml::from_str(
            r#"
            [[case]]
            name = "all"
            expect = { status = 200, body = "b", reached = true, headers = { X-A = "1", X-B = "" }, upstream = { path = "/p", headers = { y = "2" } } }
            "#,
        )
        .unwrap();
        let case = cases.cases.first().unwrap();
        let message = |first: &str, header: (&str, &str), body: &str| Message {
            first: first.to_owned(),
            headers: BTreeMap::from([(header.0.to_owned(), header.1.to_owned())]),
            body: body.as_bytes().to_vec(),
        };
        let right = message("HTTP/1.1 200 OK", ("x-a", "1"), "b");
        assert_eq!(compare(case, &right, Some(&message("GET /p HTTP/1.1", ("y", "2"), ""))), Vec::<String>::new());
        let wrong = message("HTTP/1.1 503 No", ("x-b", "1"), "c");
        let expected = [
            "status: expected `200`, got `503`",
            "body: expected `b`, got `c`",
            "reached: expected `true`, got `false`",
            "header X-A: expected `1`, got ``",
            "header X-B: expected ``, got `1`",
            "upstream path: expected `/p`, got ``",
            "upstream header y: expected `2`, got ``",
        ];
        assert_eq!(compare(case, &wrong, None), expected);
    }

    #[test]
    fn misspelt_keys_are_refused() {
        assert!(toml::from_str::<Cases>("[[case]]\nname = \"a\"\nexpcet = {}").is_err());
    }
}
