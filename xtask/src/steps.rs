//! Runs named steps one after another, counts the tests they report, and closes with a summary.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::describe;

/// Tests and checks that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that passed.
    pub(crate) const ONE: Self = Self { passed: 1, failed: 0, skipped: 0 };

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads the line that closes a test binary of `cargo test`.
    fn from_cargo_line(line: &str) -> Option<Self> {
        let (_, numbers) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        Self::from_words(numbers, ';')
    }

    /// Reads `3 passed, 1 failed, 0 skipped`.
    pub(crate) fn from_plain_line(line: &str) -> Option<Self> {
        Self::from_words(line, ',')
    }

    fn from_words(text: &str, separator: char) -> Option<Self> {
        let mut counts = Self::default();
        let mut seen = 0;
        for part in text.split(separator) {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let slot = match word {
                "passed" => &mut counts.passed,
                "failed" => &mut counts.failed,
                "skipped" | "ignored" => &mut counts.skipped,
                _ => continue,
            };
            *slot = number.parse().ok()?;
            seen += 1;
        }
        (seen >= 2).then_some(counts)
    }
}

/// How a step ended.
pub(crate) enum Outcome {
    Passed(Counts),
    /// It could not be done here, for this reason.
    Skipped(String),
}

struct Record {
    name: &'static str,
    duration: Duration,
    result: Result<(), String>,
    skipped: Option<String>,
}

/// The steps of one run, in order.
pub(crate) struct Runner {
    only: Option<String>,
    counts: Counts,
    records: Vec<Record>,
}

impl Runner {
    /// With `only`, every step of another name is passed over.
    pub(crate) fn new(only: Option<String>) -> Self {
        Self { only, counts: Counts::default(), records: Vec::new() }
    }

    /// Runs a step under a heading. A failure is kept for the end, so that one run shows every problem.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce(&mut Counts) -> Result<Outcome>) {
        if self.only.as_deref().is_some_and(|only| only != name) {
            return;
        }
        println!("\n==== {name} ====");
        let start = Instant::now();
        // Counted as it goes, so that a step that fails half-way still reports the tests that ran.
        let mut counts = Counts::default();
        let outcome = work(&mut counts);
        let duration = start.elapsed();
        let (result, skipped) = match outcome {
            Ok(Outcome::Passed(more)) => {
                counts.add(more);
                (Ok(()), None)
            }
            Ok(Outcome::Skipped(reason)) => {
                println!("SKIPPED: {reason}");
                counts.skipped += 1;
                (Ok(()), Some(reason))
            }
            Err(error) => {
                let text = format!("{error:#}");
                println!("FAILED: {text}");
                if counts.failed == 0 {
                    counts.failed = 1;
                }
                (Err(text), None)
            }
        };
        println!("---- {name}: {:.1} s", duration.as_secs_f64());
        self.counts.add(counts);
        self.records.push(Record { name, duration, result, skipped });
    }

    /// Whether every step so far passed or was skipped.
    pub(crate) fn all_passed(&self) -> bool {
        self.records.iter().all(|record| record.result.is_ok())
    }

    /// Notes something within a step that could not be done here.
    pub(crate) fn note_skipped(&mut self, name: &'static str, reason: &str) {
        self.counts.skipped += 1;
        let skipped = Some(reason.to_owned());
        self.records.push(Record { name, duration: Duration::ZERO, result: Ok(()), skipped });
    }

    /// Prints what became of each step; the totals stand alone on the last line.
    pub(crate) fn finish(self) -> Result<()> {
        ensure!(!self.records.is_empty(), "there is no step of that name");
        println!("\n==== summary ====");
        for record in &self.records {
            let state = match (&record.result, &record.skipped) {
                (Err(error), _) => format!("FAILED: {}", error.lines().next().unwrap_or_default()),
                (Ok(()), Some(reason)) => format!("SKIPPED: {reason}"),
                (Ok(()), None) => "ok".to_owned(),
            };
            println!("{:<14} {:>7.1} s  {state}", record.name, record.duration.as_secs_f64());
        }
        let total: Duration = self.records.iter().map(|record| record.duration).sum();
        println!("{:<14} {:>7.1} s", "total", total.as_secs_f64());
        let failed = !self.all_passed();
        let Counts { passed, failed: wrong, skipped } = self.counts;
        println!("{passed} passed, {wrong} failed, {skipped} skipped");
        if failed {
            std::process::exit(1); // the totals are to be the last line: an error would add one
        }
        Ok(())
    }
}

/// Runs a command and passes its output on; the lines that close test binaries are added to `counts`.
pub(crate) fn run_counted(command: &mut Command, counts: &mut Counts) -> Result<()> {
    println!("$ {}", describe(command));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {}", describe(command)))?;
    let Some(stdout) = child.stdout.take() else { bail!("the output of {} is not piped", describe(command)) };
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        if let Some(more) = Counts::from_cargo_line(&line) {
            counts.add(more);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} failed ({status})", describe(command));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_line_of_a_test_binary() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s";
        assert_eq!(Counts::from_cargo_line(line), Some(Counts { passed: 12, failed: 3, skipped: 1 }));
    }

    #[test]
    fn takes_nothing_else_for_a_closing_line() {
        assert_eq!(Counts::from_cargo_line("running 3 tests"), None);
        assert_eq!(Counts::from_cargo_line("test result: ok. but prose"), None);
        assert_eq!(Counts::from_plain_line("v1-x: expected 1 passed"), None);
    }

    #[test]
    fn reads_the_totals_of_the_conformance_runner() {
        let counts = Counts { passed: 120, failed: 0, skipped: 7 };
        assert_eq!(Counts::from_plain_line("120 passed, 0 failed, 7 skipped"), Some(counts));
    }
}
