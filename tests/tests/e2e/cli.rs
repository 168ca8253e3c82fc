//! The command line: what it prints and how it exits.

use std::fs;
use std::process::{Command, Output};

use sluice_tests::gateway::binary;
use sluice_tests::process::{Folder, free_address};

fn sluice(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder.path()).output().expect("start sluice")
}

fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes a configuration and runs `sluice check` on it.
fn check(config: &str, services: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    fs::write(folder.join("sluice.toml"), config).unwrap();
    fs::write(folder.join("services.toml"), services).unwrap();
    let output = sluice(&folder, &["check", "--config", "sluice.toml"]);
    (output.status.code(), everything(&output))
}

const GOOD: &str = "[entrypoints.web]\naddress = \"127.0.0.1:8000\"\n\n[providers.file]\npath = \"services.toml\"\n";

#[test]
fn check_accepts_what_works() {
    let services = "[[service]]\nname = \"shop\"\ntags = [\"traefik.frontend.rule=Host:shop.test\"]\n\
                    instances = [{ id = \"one\", address = \"127.0.0.1\", port = 9091 }]\n";
    let (code, text) = check(GOOD, services);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn check_lists_every_problem_with_its_place_and_a_suggestion() {
    let config = "[entrypoints.web]\nadress = \"127.0.0.1:8000\"\n\n[providers.file]\npath = \"services.toml\"\n\n\
                  [[policies]]\nname = \"edge\"\nplugin = \"rate-limt\"\nattach = [\"entrypoint:web\"]\n\n\
                  [plugins.settings.rate-limit]\ndeadline = \"soon\"\n";
    let (code, text) = check(config, "");
    assert_eq!(code, Some(1), "{text}");
    for expected in ["adress", "address", "sluice.toml", "soon"] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn check_names_a_plugin_that_does_not_exist_and_settings_it_refuses() {
    let policy = |plugin: &str, config: &str| {
        let lines =
            format!("name = \"edge\"\nplugin = \"{plugin}\"\nattach = [\"entrypoint:web\"]\nconfig = {config}\n");
        check(&format!("{GOOD}\n[[policies]]\n{lines}"), "")
    };
    let (code, text) = policy("rate-limt", "{}");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("rate-limt"), "{text}");
    let (code, text) = policy("rate-limit", "{ avarage = 5 }");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("avarage") && text.contains("edge"), "{text}");
}

#[test]
fn check_names_the_service_and_the_tag_at_fault() {
    let services = "[[service]]\nname = \"shop\"\ntags = [\"traefik.http.routers.shop.rule=Hots(`shop.test`)\"]\n\
                    instances = [{ id = \"one\", address = \"127.0.0.1\", port = 9091 }]\n";
    let (code, text) = check(GOOD, services);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("shop") && text.contains("Hots"), "{text}");
}

#[test]
fn run_refuses_a_broken_configuration() {
    let folder = Folder::new();
    fs::write(folder.join("sluice.toml"), "[entrypoints.web]\nadress = \"127.0.0.1:8000\"\n").unwrap();
    let output = sluice(&folder, &["run", "--config", "sluice.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(everything(&output).contains("adress"));
}

#[test]
fn an_admin_address_beyond_loopback_needs_a_token() {
    let admin = format!("[admin]\naddress = \"0.0.0.0:{}\"\n", free_address().port());
    let (code, text) = check(&format!("{GOOD}\n{admin}"), "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("token-file"), "{text}");
}

#[test]
fn version_and_usage() {
    let folder = Folder::new();
    let version = sluice(&folder, &["version"]);
    assert!(version.status.success());
    assert!(everything(&version).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(sluice(&folder, &["rnu"]).status.code(), Some(2));
    assert_eq!(sluice(&folder, &["run", "--config", "absent.toml"]).status.code(), Some(1));
}
