//! Golden tests of `sluice migrate`: each `tests/migrate/NAME.{toml,yml}` of Traefik has to become `NAME.sluice.txt`, with
//! the report `NAME.report.txt`. A first line `# from: v2` says for which Traefik it is. `SLUICE_TEST_BLESS=1 cargo test`
//! writes the texts anew; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use sluice_gateway::cli::migrate::{Generation, migrate};
use sluice_gateway::config::Config;

fn generation(text: &str) -> Option<Generation> {
    match text.lines().next()?.strip_prefix("# from: ")? {
        "v1" => Some(Generation::V1),
        "v2" => Some(Generation::V2),
        "v3" => Some(Generation::V3),
        other => panic!("`{other}` is no generation of Traefik"),
    }
}

fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/migrate")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml" || extension == "yml"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "the examples are gone: {files:?}");
    files
}

/// Writes or compares one golden text.
fn settle(path: &Path, actual: &str, different: &mut Vec<String>) {
    if std::env::var_os("SLUICE_TEST_BLESS").is_some() {
        fs::write(path, actual).unwrap();
    } else if fs::read_to_string(path).unwrap_or_default() != actual {
        different.push(format!("{}:\n{actual}", path.display()));
    }
}

#[test]
fn every_example_comes_out_as_written_and_can_be_served() {
    let mut different = Vec::new();
    for file in examples() {
        let migrated = migrate(&file, generation(&fs::read_to_string(&file).unwrap())).unwrap();
        settle(&file.with_extension("sluice.txt"), &migrated.config, &mut different);
        settle(&file.with_extension("report.txt"), &migrated.report, &mut different);
        if !migrated.report.contains("to mend by hand") {
            assert!(Config::parse("sluice.toml", &migrated.config).is_ok(), "{}", file.display());
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn what_is_neither_toml_nor_yaml_is_an_error() {
    let folder = std::env::temp_dir().join(format!("sluice-migrate-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, text, part) in [("a.toml", "a = [", "not valid TOML"), ("a.yml", "a: [", "not valid YAML")] {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        let error = migrate(&path, None).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(migrate(&folder.join("absent.toml"), None).is_err());
    fs::remove_dir_all(&folder).unwrap();
}
