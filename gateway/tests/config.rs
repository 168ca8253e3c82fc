//! Golden tests of the configuration: each `tests/config/NAME.toml` is loaded, and what comes of it (the whole
//! configuration, or every problem) has to be `NAME.txt`. A first line `# set: KEY=VALUE` or `# env: NAME=VALUE` adds
//! an override. `SLUICE_TEST_BLESS=1 cargo test` writes the texts anew; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use sluice_gateway::config::{Config, Sources};

fn sources(file: &Path) -> Sources {
    let text = fs::read_to_string(file).unwrap();
    let mut sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    for line in text.lines() {
        if let Some(flag) = line.strip_prefix("# set: ") {
            sources.flags.push(flag.to_owned());
        }
        if let Some((name, value)) = line.strip_prefix("# env: ").and_then(|it| it.split_once('=')) {
            sources.variables.push((name.to_owned(), value.to_owned()));
        }
    }
    sources
}

fn outcome(file: &Path) -> String {
    match Config::load(&sources(file)) {
        Ok(config) => format!("{config:#?}\n"),
        Err(problems) => format!("{problems}\n"),
    }
}

#[test]
fn every_example_comes_out_as_written() {
    let bless = std::env::var_os("SLUICE_TEST_BLESS").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir("tests/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the examples are gone: {files:?}");
    let mut different = Vec::new();
    for file in files {
        let expected = file.with_extension("txt");
        let actual = outcome(&file);
        if bless {
            fs::write(&expected, &actual).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != actual {
            different.push(format!("{}:\n{actual}", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The example of the documentation, without any file: names of variables are the contract with container users.
#[test]
fn a_configuration_can_come_from_the_environment_alone() {
    let sources = Sources {
        file: Some(PathBuf::from("tests/config/empty.toml")),
        variables: vec![
            ("SLUICE_ENTRYPOINTS_WEB_ADDRESS".into(), "127.0.0.1:8000".into()),
            ("SLUICE_PROVIDERS_CONSUL_CATALOG_ADDRESS".into(), "consul:8500".into()),
            ("SLUICE_PROVIDERS_CONSUL_CATALOG_EXPOSED_BY_DEFAULT".into(), "false".into()),
        ],
        flags: vec!["entrypoints.web.address=127.0.0.1:9000".into()],
    };
    let config = Config::load(&sources).unwrap();
    let entrypoint = config.entrypoints.first().unwrap();
    assert_eq!((entrypoint.name.as_str(), entrypoint.address.port()), ("web", 9000));
    let consul = config.providers.consul_catalog.unwrap();
    assert_eq!(consul.address, "consul:8500");
    assert!(!consul.tags.exposed_by_default);
}
