//! Checks which folders of `gateway/src` import which: edges between crates are cargo's to keep, these are not.
//!
//! Every `crate::` path in a folder's files has to be in the table below. The table is the design, so a new edge is
//! a change of the design and not of a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{cargo, root};

/// A folder or file, and the modules it may use besides itself. A path of two names opens only that part of a module.
/// `http` holds the nouns of a request that the whole data plane passes on, so it uses none of the steps.
const ALLOWED: [(&str, &[&str]); 16] = [
    ("local", &[]),
    ("timer", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("state", &["telemetry"]),
    ("live", &["http::Exchange", "state", "telemetry"]),
    ("http", &["timer", "config", "telemetry"]),
    ("listener", &["tls", "http", "proxy", "live", "state", "local", "timer", "config", "telemetry"]),
    ("tls", &["http", "live", "config", "telemetry"]),
    ("proxy", &["http", "policy", "balance", "upstream", "live", "state", "timer", "config", "telemetry"]),
    ("policy", &["http", "live", "state", "telemetry"]),
    ("balance", &["live", "state", "telemetry"]),
    ("upstream", &["http", "live", "state", "local", "timer", "config", "telemetry"]),
    ("health", &["live::Transports", "state", "telemetry"]),
    ("control", &["http::Exchange", "live", "state", "config", "telemetry"]),
    ("admin", &["live", "state", "control", "listener::Phase", "config", "telemetry"]),
];

/// Files and folders that join the others, and so may use all of them.
const JOINTS: [&str; 4] = ["main", "lib", "app", "cli"];

/// A crate, and what it may not depend on, not even through others.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("sluice-model", &["tokio", "hyper", "wasmtime", "serde"]),
    ("sluice-consul", &["sluice-wasm", "wasmtime"]),
    ("sluice-wasm", &["sluice-consul", "reqwest", "hyper"]),
];

/// Fails with every import that the tables do not allow.
pub(crate) fn check() -> Result<()> {
    check_folders()?;
    FORBIDDEN.iter().try_for_each(|(package, forbidden)| check_crate(package, forbidden))
}

fn check_crate(package: &str, forbidden: &[&str]) -> Result<()> {
    let arguments = ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{lib}"];
    let output = cargo(&arguments).output().context("start cargo tree")?;
    ensure!(output.status.success(), "cargo tree of {package}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find(|name| forbidden.iter().any(|banned| banned.replace('-', "_") == **name));
    ensure!(found.is_none(), "{package} may not depend on {}", found.unwrap_or_default());
    ensure!(!text.trim().is_empty(), "cargo tree of {package} printed nothing");
    Ok(())
}

fn check_folders() -> Result<()> {
    let source = root().join("gateway/src");
    let mut problems = Vec::new();
    let mut files = Vec::new();
    collect(&source, &mut files)?;
    for file in &files {
        let relative = file.strip_prefix(&source)?;
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        problems.extend(
            problems_of(&folder_of(relative), &text)
                .map(|(line, problem)| format!("gateway/src/{}:{line}: {problem}", relative.display())),
        );
    }
    if problems.is_empty() {
        println!("{} files, every import is in the table", files.len());
        return Ok(());
    }
    bail!("{}\nthe table is in xtask/src/layers.rs", problems.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// The first folder below `src`, or the name of a file that lies directly in it.
fn folder_of(relative: &Path) -> String {
    let first = relative.iter().next().unwrap_or_default();
    Path::new(first).with_extension("").to_string_lossy().into_owned()
}

fn problems_of(folder: &str, text: &str) -> impl Iterator<Item = (usize, String)> {
    let folder = folder.to_owned();
    let known = JOINTS.contains(&folder.as_str()) || ALLOWED.iter().any(|(name, _)| *name == folder);
    let unknown = (!known).then(|| (1, format!("the folder `{folder}` is not in the table")));
    let imports = paths(text).into_iter().filter(move |(_, path)| known && !allowed(&folder, path));
    unknown.into_iter().chain(imports.map(|(line, path)| (line, format!("may not use `crate::{path}`"))))
}

fn allowed(folder: &str, path: &str) -> bool {
    let first = path.split("::").next().unwrap_or(path);
    let row = ALLOWED.iter().find(|(name, _)| *name == folder);
    let open = |entry: &&str| path == *entry || path.strip_prefix(*entry).is_some_and(|rest| rest.starts_with("::"));
    first == folder || JOINTS.contains(&folder) || row.is_some_and(|(_, entries)| entries.iter().any(open))
}

/// The first two names of every `crate::` path, with its line; a group in braces gives one path for each member.
fn paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, marker) in code.match_indices("crate::") {
            // `$crate` and names that merely end in `crate` are somebody else's.
            let before = code.get(..at).and_then(|head| head.chars().next_back());
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                continue;
            }
            let rest = code.get(at + marker.len()..).unwrap_or_default();
            found.extend(names(rest, text, index).into_iter().map(|path| (index + 1, path)));
        }
    }
    found
}

fn names(rest: &str, text: &str, index: usize) -> Vec<String> {
    if !rest.starts_with('{') {
        return vec![leading_path(rest)];
    }
    // A group may span lines: take the text from this line's brace to its partner.
    let all = text.lines().skip(index).collect::<Vec<_>>().join("\n");
    let group = all.split_once("crate::{").map(|(_, tail)| tail).unwrap_or_default();
    let mut depth = 0_usize;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => members.push(String::new()),
            _ => {
                depth = if c == '{' {
                    depth + 1
                } else if c == '}' {
                    depth - 1
                } else {
                    depth
                };
                members.last_mut().unwrap_or(&mut String::new()).push(c);
            }
        }
    }
    members.iter().map(|member| leading_path(member.trim())).filter(|path| !path.is_empty()).collect()
}

fn leading_path(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(text.len());
    let path = text.get(..end).unwrap_or_default();
    path.split("::").filter(|name| !name.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(folder: &str, text: &str) -> Vec<(usize, String)> {
        problems_of(folder, text).collect()
    }

    #[test]
    fn an_edge_of_the_table_passes() {
        assert_eq!(problems("proxy", "use crate::policy::Chain;\nuse crate::live::Generation;"), []);
    }

    #[test]
    fn the_data_plane_may_not_use_the_control_plane() {
        let text = "//! docs\nuse crate::control::plan;";
        assert_eq!(problems("proxy", text), [(2, "may not use `crate::control::plan`".to_owned())]);
    }

    #[test]
    fn a_group_is_looked_into() {
        let text = "use crate::{\n    balance::{Lease, Pick},\n    state,\n};";
        assert_eq!(problems("upstream", text), [(1, "may not use `crate::balance`".to_owned())]);
    }

    #[test]
    fn a_part_of_a_module_can_be_open_alone() {
        assert_eq!(problems("admin", "use crate::listener::Phase;"), []);
        assert_eq!(problems("admin", "use crate::listener::Listener;").len(), 1);
    }

    #[test]
    fn comments_and_macros_of_others_do_not_count() {
        assert_eq!(problems("policy", "// crate::control is elsewhere\nlet x = $crate::control::x!();"), []);
    }

    #[test]
    fn a_new_folder_has_to_be_entered_in_the_table() {
        assert_eq!(problems("novel", "use crate::live;"), [(1, "the folder `novel` is not in the table".to_owned())]);
    }
}
