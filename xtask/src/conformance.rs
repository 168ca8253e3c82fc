//! Runs the tag vectors beside this checkout against the built gateway and a real Consul agent.
//!
//! The ids in `tests/conformance/out-of-scope.txt` are left out of the main run and run by themselves: each has to
//! fail, so that the list never hides a vector that works. The runner uses fixed ports, so nothing else may run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::steps::{Counts, Outcome};
use crate::workspace::{find_consul, find_program, gateway_binary, in_ci, root, target_dir};

/// Where the runner puts the admin API of the gateway.
const GATEWAY: u16 = 18180;
const LIST: &str = "tests/conformance/out-of-scope.txt";
/// What begins like this in the list is about `cargo xtask differential`.
const DIFFERENTIAL: &str = "differential-";
/// A vector with such a tag makes the runner start the gateway with a TLS entrypoint.
const NEEDS_TLS: &str = "redirect.entryPoint=https";

/// The step of `cargo xtask test`.
pub(crate) fn run(counts: &mut Counts) -> Result<Outcome> {
    let vectors_folder = root().join("../shared/conformance");
    let missing = match (vectors_folder.is_dir(), find_consul()?, find_program("python3")) {
        (false, ..) => Some("there are no vectors at ../shared/conformance"),
        (_, None, _) => Some("no `consul` on PATH and no CONSUL_BIN"),
        (.., None) => Some("no `python3` on PATH"),
        _ => None,
    };
    if let Some(reason) = missing {
        ensure!(!in_ci(), "{reason}, and CI skips nothing");
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let vectors = Vectors::read(&vectors_folder)?;
    let mut listed = read_list(&root().join(LIST))?;
    listed.retain(|id, _| !id.starts_with(DIFFERENTIAL));
    for id in listed.keys() {
        ensure!(vectors.ids().any(|known| known == id), "{LIST} lists {id}, and there is no such vector");
    }
    let runner = vectors_folder.join("run.py");
    ensure!(is_free(GATEWAY), "something listens on {GATEWAY}, which the runner of the vectors needs");
    *counts = run_in_scope(&runner, &vectors, &listed)?;
    ensure!(counts.failed == 0, "{} vectors failed", counts.failed);
    check_list(&runner, &vectors, &listed)?;
    Ok(Outcome::Passed(Counts::default()))
}

/// The verb: the same without the other steps.
pub(crate) fn run_alone() -> Result<()> {
    let mut counts = Counts::default();
    match run(&mut counts)? {
        Outcome::Passed(_) => Ok(()),
        Outcome::Skipped(reason) => bail!("cannot run: {reason}"),
    }
}

fn run_in_scope(runner: &Path, vectors: &Vectors, listed: &BTreeMap<String, String>) -> Result<Counts> {
    let file = vectors.write("in-scope.json", |vector| !listed.contains_key(id_of(vector)))?;
    let report = Report::of(runner, &file)?;
    report.print();
    report.counts.context("the vectors did not run to their end")
}

/// Every listed vector has to fail, else it belongs back into the main run.
fn check_list(runner: &Path, vectors: &Vectors, listed: &BTreeMap<String, String>) -> Result<()> {
    let is_tls = |vector: &Value| vector.to_string().contains(NEEDS_TLS);
    let plain = vectors.write("out-plain.json", |vector| listed.contains_key(id_of(vector)) && !is_tls(vector))?;
    let tls = vectors.write("out-tls.json", |vector| listed.contains_key(id_of(vector)) && is_tls(vector))?;
    let mut failing = BTreeSet::new();
    for (file, may_refuse_to_start) in [(plain, false), (tls, true)] {
        let report = Report::of(runner, &file)?;
        if report.counts.is_none() {
            ensure!(may_refuse_to_start, "the vectors of {LIST} did not run to their end: {}", report.errors);
            failing.extend(ids_in(&file)?);
        }
        failing.extend(report.failing);
    }
    let passing: Vec<_> = listed.keys().filter(|id| !failing.contains(*id)).map(String::as_str).collect();
    ensure!(passing.is_empty(), "these pass and have to leave {LIST}: {}", passing.join(", "));
    println!("{} vectors are out of scope, and none of them passes", listed.len());
    Ok(())
}

/// Why something is deliberately different.
pub(crate) fn reason(id: &str) -> Result<String> {
    read_list(&root().join(LIST))?.remove(id).with_context(|| format!("{LIST} has no line for {id}"))
}

/// Lines of `ID  REASON`; blank lines and lines that start with `#` are for people.
fn read_list(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut listed = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (id, reason) =
            line.split_once(char::is_whitespace).with_context(|| format!("{LIST}: no reason: {line}"))?;
        let before = listed.insert(id.to_owned(), reason.trim().to_owned());
        ensure!(before.is_none(), "{LIST} lists {id} twice");
    }
    Ok(listed)
}

fn id_of(vector: &Value) -> &str {
    vector.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn ids_in(file: &Path) -> Result<Vec<String>> {
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(file)?)?;
    Ok(vectors.iter().map(|vector| id_of(vector).to_owned()).collect())
}

/// All vectors of both dialects.
struct Vectors(Vec<Value>);

impl Vectors {
    fn read(folder: &Path) -> Result<Self> {
        let mut all = Vec::new();
        for name in ["v1.json", "v3.json"] {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            all.extend(serde_json::from_str::<Vec<Value>>(&text).with_context(|| format!("parse {}", path.display()))?);
        }
        Ok(Self(all))
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(id_of)
    }

    /// Writes the chosen vectors where the runner can read them; it has no option to leave some out.
    fn write(&self, name: &str, chosen: impl Fn(&Value) -> bool) -> Result<PathBuf> {
        let folder = target_dir().join("conformance");
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        let some: Vec<_> = self.0.iter().filter(|vector| chosen(vector)).collect();
        fs::write(&path, serde_json::to_string(&some)?)?;
        Ok(path)
    }
}

fn is_free(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// The runner leaves without waiting for its gateway, which goes on for a while: it drains.
fn wait_until_free() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_free(GATEWAY) {
        ensure!(Instant::now() < deadline, "the gateway of the last run of the vectors does not end");
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What the runner said of one file.
struct Report {
    counts: Option<Counts>,
    failing: BTreeSet<String>,
    output: String,
    errors: String,
}

impl Report {
    fn of(runner: &Path, file: &Path) -> Result<Self> {
        wait_until_free()?;
        let consul = find_consul()?.context("find consul")?;
        let mut command = Command::new(find_program("python3").context("find python3")?);
        command.arg(runner).args(["--target", "sluice", "--bin"]).arg(gateway_binary());
        let output =
            command.arg("--consul").arg(consul).arg(file).output().context("start the runner of the vectors")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let problems = text.lines().filter_map(|line| line.split_once(": ")).map(|(id, _)| id.to_owned());
        Ok(Self {
            counts: text.lines().last().and_then(Counts::from_plain_line),
            failing: problems.collect(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            output: text,
        })
    }

    fn print(&self) {
        print!("{}", self.output);
        eprint!("{}", self.errors);
    }
}
