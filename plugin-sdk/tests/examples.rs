//! Every public item of the SDK is used in an example of its documentation, all of which `cargo test` runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What macros reach through public paths and authors never name, and what they know by another name.
const INNER: [&str; 3] = ["export.rs", "policy/uses.rs", "settings.rs"];

#[test]
fn every_public_item_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: Vec<_> = files(&root).into_iter().map(|file| (fs::read_to_string(&file).unwrap(), file)).collect();
    let used: BTreeSet<_> = sources.iter().flat_map(|(source, _)| words(&examples(source))).collect();
    assert!(used.contains("configure") && used.contains("Host"), "examples are found");
    let mut without = Vec::new();
    for (source, file) in &sources {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        if !INNER.contains(&name) {
            without.extend(items(source).filter(|item| !used.contains(*item)).map(|item| format!("{name}: {item}")));
        }
    }
    assert!(without.is_empty(), "no example uses\n{}", without.join("\n"));
}

/// All but the generated bindings, in alphabetical order.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("bindings") => {}
            true => found.extend(files(&path)),
            false => drop(found.insert(path)),
        }
    }
    found
}

/// The code in the documentation.
fn examples(source: &str) -> String {
    let lines = source.lines().map(str::trim_start);
    let documented = lines.filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")));
    let mut inside = false;
    let code = documented.filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        inside && !fence
    });
    code.collect::<Vec<_>>().join("\n")
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
}

/// The names of public functions, types, traits and macros.
fn items(source: &str) -> impl Iterator<Item = &str> {
    const KINDS: [&str; 8] = [
        "pub fn ",
        "pub const fn ",
        "pub async fn ",
        "pub struct ",
        "pub enum ",
        "pub trait ",
        "pub type ",
        "macro_rules! ",
    ];
    source.lines().filter_map(|line| {
        let rest = KINDS.iter().find_map(|kind| line.trim_start().strip_prefix(kind))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}
