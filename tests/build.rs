//! Lists the guests, so that one that nobody tests does not compile.
#![allow(clippy::expect_used, reason = "a build fails by panicking")]

use std::path::Path;
use std::{env, fs};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("guests");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("read the guests").map(|entry| entry.expect("a guest").path());
    let names = entries.filter(|path| path.join("Cargo.toml").is_file()).filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some(name)
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    let code = format!(
        "/// A package of `tests/guests`.\n#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum Guest {{\n{}}}\n\n\
         impl Guest {{\n    /// Each of them, by name.\n    pub const ALL: &[(Self, &str)] = &[{}];\n}}\n",
        names.iter().map(|name| format!("    /// `{name}`\n    {},\n", camel(name))).collect::<String>(),
        names.iter().map(|name| format!("(Self::{}, {name:?}), ", camel(name))).collect::<String>(),
    );
    let out = env::var("OUT_DIR").expect("cargo says where to");
    fs::write(Path::new(&out).join("guests.rs"), code).expect("write the list");
}

fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect()
}
